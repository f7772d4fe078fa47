package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"parley/contracttest/redistest"
	"parley/server"
)

func readTelemetry(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(root + "telemetry/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// alert is a rule of alerts.yaml.
type alert struct {
	Alert, Expr string
	Labels      struct{ Owner string }
}

// alerts gives the rules by name.
func alerts(t *testing.T) map[string]alert {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []alert }
	}
	if err := yaml.Unmarshal([]byte(readTelemetry(t, "alerts.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	rules := map[string]alert{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			rules[r.Alert] = r
		}
	}
	return rules
}

// The guide has every class once and in the order of the table; the alert that it
// names asks for that class, and of the store's classes sends nobody to Redis for what
// is not its fault.
func TestGuideHasEveryClass(t *testing.T) {
	rules := alerts(t)
	rows := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| [^|]+ \\| ([RAPCI]) \\| (\\w*) ?\\| [^|]*\\|$").FindAllStringSubmatch(readTelemetry(t, "README.md"), -1)
	i := 0
	for f := range server.Failures() {
		if i >= len(rows) || rows[i][1] != f.Class {
			t.Fatalf("row %d of the guide is not about %s", i, f.Class)
		}
		whose, alert := rows[i][2], rows[i][3]
		if alert != "" && !regexp.MustCompile(`["|]`+f.Class+`["|]`).MatchString(rules[alert].Expr) {
			t.Errorf("%s does not ask for %s", alert, f.Class)
		}
		if owner := rules[alert].Labels.Owner; strings.HasPrefix(f.Class, "store_") && owner != map[string]string{"R": "redis", "P": "parley"}[whose] {
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
	page := get("GET", "/metrics")

	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(readTelemetry(t, "dashboard.json")), &board); err != nil {
		t.Fatal(err)
	}
	asked := map[string]string{}
	for name, a := range alerts(t) {
		asked[name] = a.Expr
	}
	for _, p := range board.Panels {
		for i, target := range p.Targets {
			asked[fmt.Sprint(p.Title, i)] = target.Expr
		}
	}
	if len(asked) < 20 {
		t.Fatalf("only %d expressions", len(asked))
	}
	classes := map[string]bool{"ok": true}
	for f := range server.Failures() {
		classes[f.Class] = true
	}
	for where, expr := range asked {
		for _, name := range regexp.MustCompile(`\b(?:parley|http|db)_[a-z_]+`).FindAllString(expr, -1) {
			if strings.Contains(expr, `"`+name) || strings.Contains(expr, name+"|") {
				continue // a value
			}
			if !strings.Contains(page, name+"{") && !strings.Contains(page, name+" ") && !strings.Contains(page, name+"=") {
				t.Errorf("%s: there is no %s", where, name)
			}
		}
		for _, m := range regexp.MustCompile(`(?:parley_outcome|error_type)(?:!?=~?)"([^"]*)"`).FindAllStringSubmatch(expr, -1) {
			for class := range strings.SplitSeq(m[1], "|") {
				if !classes[class] {
					t.Errorf("%s: there is no class %s", where, class)
				}
			}
		}
	}
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
