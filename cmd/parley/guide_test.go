package main

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"parley/contracttest/redistest"
	"parley/server"
	"parley/server/auth/authtest"
)

func readTelemetry(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(root + "telemetry/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// guideRow is a row of the guide's table of classes.
type guideRow struct{ class, means, whose, alert string }

// guideRows gives the table in its order.
func guideRows(t *testing.T) (rows []guideRow) {
	t.Helper()
	row := regexp.MustCompile("(?m)^\\| <a id=\"([a-z_]+)\"></a>`([a-z_]+)` \\| ([^|]+) \\| ([RAPCI]) \\| (\\w*) ?\\| [^|]*\\|$")
	for _, m := range row.FindAllStringSubmatch(readTelemetry(t, "README.md"), -1) {
		if m[1] != m[2] {
			t.Errorf("the row of %s has the anchor %s", m[2], m[1])
		}
		rows = append(rows, guideRow{class: m[2], means: m[3], whose: m[4], alert: m[5]})
	}
	return rows
}

// The guide has every class once and in the order of the table, and the alert that it
// names is about that class and for who has to act.
func TestGuideHasEveryClass(t *testing.T) {
	rules, owners := map[string]rule{}, classOwners(t)
	for _, r := range readRules(t) {
		rules[r.Alert] = r
	}
	letters := map[string]string{"R": "redis", "A": "agent", "P": "parley", "I": "issuer", "C": "parley"}
	rows := guideRows(t)
	i := 0
	for f := range server.Failures() {
		if i >= len(rows) || rows[i].class != f.Class {
			t.Fatalf("row %d of the guide is not about %s", i, f.Class)
		}
		whose, alert := rows[i].whose, rows[i].alert
		if alert != "" && !rules[alert].fires(f.Class, owners) {
			t.Errorf("%s does not ask for %s", alert, f.Class)
		}
		if owner := rules[alert].Labels.Owner; alert != "" && owner != letters[whose] {
			t.Errorf("%s is whose %s says, and %s is for %s", f.Class, whose, alert, owner)
		}
		i++
	}
	if i != len(rows) {
		t.Errorf("%d rows for %d classes", len(rows), i)
	}
}

// The guide lists the reasons of each class, and no others.
func TestGuideHasEveryReason(t *testing.T) {
	_, rest, _ := strings.Cut(readTelemetry(t, "README.md"), "<!-- reasons -->")
	table, _, _ := strings.Cut(rest, "<!-- /reasons -->")
	found := map[string][]server.Reason{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (.*) \\|$").FindAllStringSubmatch(table, -1) {
		for _, word := range regexp.MustCompile("`([a-z_0-9]+)`").FindAllStringSubmatch(row[2], -1) {
			found[row[1]] = append(found[row[1]], server.Reason(word[1]))
		}
	}
	for class, reasons := range server.Reasons() {
		if !slices.Equal(found[class], reasons) {
			t.Errorf("of %s the guide has %v, and there are %v", class, found[class], reasons)
		}
		delete(found, class)
	}
	if len(found) > 0 {
		t.Errorf("the guide has reasons of %v", found)
	}
}

// Alerts and dashboard ask for metrics, labels and classes that there are: those
// of a service on Redis that was asked for something.
func TestAlertsAndDashboardAskForWhatThereIs(t *testing.T) {
	_, agentSettings := agent(t)
	base := startService(t, &sharedBuffer{}, append(agentSettings, "REDIS_URL", redistest.Start(t).URL(), "METRICS_PROMETHEUS", "true")...)
	get := func(method, path string) string { return fetch(t, method, base+path) }
	get("POST", "/api/chat/start")
	get("GET", "/nowhere") // for error_type
	// The probes have pinged, and dialed, by the time that anything was stored.
	page := get("GET", "/metrics") + issuersPage(t)

	board := readDashboard(t)
	asked := map[string]string{}
	for _, r := range readRules(t) {
		asked[r.Alert+r.Record+r.Labels.Owner] += r.Expr + "\n"
	}
	for _, p := range board.Panels {
		for i, target := range p.Targets {
			asked[fmt.Sprint(p.Title, i)] = target.Expr
		}
	}
	if len(asked) < 20 {
		t.Fatalf("only %d expressions", len(asked))
	}
	names, recorded := regexp.MustCompile(`\b(?:parley|http|db|go|process)_[a-z_]+`), regexp.MustCompile(`\bparley:[a-z_:]+`)
	for where, expr := range asked {
		plain := regexp.MustCompile(`"[^"]*"`).ReplaceAllString(expr, `""`) // without values
		for _, name := range names.FindAllString(plain, -1) {
			if !strings.Contains(page, name+"{") && !strings.Contains(page, name+" ") && !strings.Contains(page, name+"=") {
				t.Errorf("%s: there is no %s", where, name)
			}
		}
		for _, name := range recorded.FindAllString(plain, -1) {
			if !recordedSeries(t)[name] {
				t.Errorf("%s: %s is not recorded", where, name)
			}
		}
		for _, m := range matchers.FindAllStringSubmatch(expr, -1) {
			for pattern := range strings.SplitSeq(m[2], "|") {
				if !matchesClass(pattern) {
					t.Errorf("%s: there is no class %s", where, pattern)
				}
			}
		}
	}
}

// issuersPage has the metrics of a service that has asked for signing keys, and for a
// token of its own.
func issuersPage(t *testing.T) string {
	t.Helper()
	key := authtest.NewRSA(t, "key")
	issuer := authtest.NewIssuer(t, key)
	_, settings := agent(t)
	base, _ := child(t, signIn(t, issuer, append(settings, "METRICS_PROMETHEUS", "true", "COPILOT_STUB_TOKEN", "",
		"COPILOT_AUTHORITY", "https://127.0.0.1:1", "COPILOT_TENANT_ID", "tenant", "COPILOT_APP_ID", "app", "COPILOT_CLIENT_SECRET", "hunter2", "COPILOT_SCOPE", "scope")...)...)
	if a := callAs(t, key.Token(issuer.Claims()), base+"/api/chat/start", m{}); a.Class != "token_unavailable" {
		t.Errorf("without an issuer: %d %s", a.Status, a.Class)
	}
	return fetch(t, "GET", base+"/metrics")
}

// matchesClass says whether a pattern is that of a class.
func matchesClass(pattern string) bool {
	is := regexp.MustCompile("^(?:" + pattern + ")$")
	for class := range everyClass() {
		if is.MatchString(class) {
			return true
		}
	}
	return false
}

// fetch gives the body of an answer.
func fetch(t *testing.T, method, url string) string {
	t.Helper()
	w := &watched{t: t, base: url}
	return string(w.ask(method, "", "").body)
}

// Where metrics are not asked for, /metrics is no route.
func TestMetricsAreOptional(t *testing.T) {
	_, agentSettings := agent(t)
	base := startService(t, &sharedBuffer{}, agentSettings...)
	w := &watched{t: t, base: base}
	if a := w.ask("GET", "/metrics", ""); a.status != http.StatusNotFound {
		t.Errorf("status %d", a.status)
	}
}
