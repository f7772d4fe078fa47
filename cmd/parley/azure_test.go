package main

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// kustoQueries are all queries for Azure Monitor: those of the guide, of the file of
// queries, of the alert rules and of the workbook.
func kustoQueries(t *testing.T) []string {
	t.Helper()
	all := strings.Split(readTelemetry(t, "azure/queries.kql"), ";\n\n")
	for _, m := range regexp.MustCompile("(?s)```kusto\n(.*?)```").FindAllStringSubmatch(readTelemetry(t, "README.md"), -1) {
		all = append(all, m[1])
	}
	var rules struct {
		Resources []struct {
			Properties struct {
				Criteria struct{ AllOf []struct{ Query string } }
			}
		}
	}
	var book struct {
		Items []struct{ Content struct{ Query string } }
	}
	for name, into := range map[string]any{"azure/alerts.json": &rules, "azure/workbook.json": &book} {
		if err := json.Unmarshal([]byte(readTelemetry(t, name)), into); err != nil {
			t.Fatal(name, err)
		}
	}
	found := len(all)
	for _, r := range rules.Resources {
		for _, c := range r.Properties.Criteria.AllOf {
			all = append(all, c.Query)
		}
	}
	for _, i := range book.Items {
		if i.Content.Query != "" {
			all = append(all, i.Content.Query)
		}
	}
	if len(all) < found+6 {
		t.Fatalf("only %d queries in rules and workbook", len(all)-found)
	}
	return all
}

// The queries ask for attributes, metrics and classes that there are, and count a class
// for the owner for whom Prometheus' rules count it.
func TestAzureQueriesAskForWhatThereIs(t *testing.T) {
	source, err := os.ReadFile(root + "telemetry/names.go")
	if err != nil {
		t.Fatal(err)
	}
	standard := []string{"error.type", "http.route", "server.address", "db.response.status_code"} // a name of the conventions has a constant there
	owners := classOwners(t)
	for _, q := range kustoQueries(t) {
		for _, m := range regexp.MustCompile(`customDimensions\["([^"]+)"\]`).FindAllStringSubmatch(q, -1) {
			if !slices.Contains(standard, m[1]) && !strings.Contains(string(source), `"`+m[1]+`"`) {
				t.Errorf("no attribute %s: %s", m[1], q)
			}
		}
		for _, m := range regexp.MustCompile(`"((?:parley|db\.client)\.[a-z_.]+)"`).FindAllStringSubmatch(q, -1) {
			if !strings.Contains(string(source), `"`+m[1]+`"`) {
				t.Errorf("no metric %s: %s", m[1], q)
			}
		}
		for _, m := range regexp.MustCompile(`class == "([^"]+)"`).FindAllStringSubmatch(q, -1) {
			if !everyClass()[m[1]] {
				t.Errorf("no class %s: %s", m[1], q)
			}
		}
		if !strings.Contains(q, "extend owner") {
			continue
		}
		named := regexp.MustCompile(`outcome in \(([^)]+)\), "parley"`).FindStringSubmatch(q)
		if named == nil {
			t.Fatalf("no classes of ours: %s", q)
		}
		for class := range everyClass() {
			var want []string
			switch {
			case strings.Contains(named[1], `"`+class+`"`):
				want = []string{"parley"}
			case strings.HasPrefix(class, "store_"):
				want = []string{"redis"}
			case strings.HasPrefix(class, "upstream_"), class == "agent_error":
				want = []string{"agent"}
			case strings.HasSuffix(class, "_unavailable"):
				want = []string{"issuer"}
			}
			if !slices.Equal(owners[class], want) {
				t.Errorf("%s is counted for %v, by Prometheus for %v", class, want, owners[class])
			}
		}
	}
}
