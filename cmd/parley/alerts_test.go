package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"parley/server"
)

// rule is one of alerts.yaml: an alert, or a series that is recorded.
type rule struct {
	Alert, Record, Expr string
	Labels              struct{ Severity, Owner string }
	Annotations         struct {
		Runbook string `yaml:"runbook_url"`
	}
}

// readRules gives all rules of alerts.yaml.
func readRules(t *testing.T) (all []rule) {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []rule }
	}
	if err := yaml.Unmarshal([]byte(readTelemetry(t, "alerts.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// matchers are the conditions on the class in an expression: the operator, and the pattern.
var matchers = regexp.MustCompile(`(?:parley_outcome|error_type)(=~|!~|!=|=)"([^"]+)"`)

// takes says whether all matchers of an expression take a class.
func takes(expr, class string) bool {
	for _, m := range matchers.FindAllStringSubmatch(expr, -1) {
		if regexp.MustCompile("^(?:"+m[2]+")$").MatchString(class) == strings.HasPrefix(m[1], "!") {
			return false
		}
	}
	return true
}

// classOwners are the owners of each class, as the rules that record failures have it.
func classOwners(t *testing.T) map[string][]string {
	t.Helper()
	owners := map[string][]string{}
	for _, r := range readRules(t) {
		if r.Record != "parley:failures:increase" {
			continue
		}
		for class := range everyClass() {
			if takes(r.Expr, class) {
				owners[class] = append(owners[class], r.Labels.Owner)
			}
		}
	}
	return owners
}

// everyClass has the classes, and ok.
func everyClass() map[string]bool {
	all := map[string]bool{"ok": true}
	for f := range server.Failures() {
		all[f.Class] = true
	}
	return all
}

// fires says whether an alert can be about a class: it asks for the class itself, or for
// the failures of the owner whose class it is.
func (r rule) fires(class string, owners map[string][]string) bool {
	if !takes(r.Expr, class) {
		return false
	}
	if of := regexp.MustCompile(`owner="(\w+)"`).FindStringSubmatch(r.Expr); of != nil {
		return slices.Contains(owners[class], of[1])
	}
	return matchers.MatchString(r.Expr)
}

// recordedSeries are the names of the series that rules record.
func recordedSeries(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, r := range readRules(t) {
		if r.Record != "" {
			all[r.Record] = true
		}
	}
	return all
}

// A class is one owner's, the one of whom the guide says that he acts, or is nobody's
// failure: what callers bring about, and what an instance that stops turns away.
func TestEveryFailureHasOneOwner(t *testing.T) {
	owners := classOwners(t)
	letters := map[string]string{"R": "redis", "A": "agent", "P": "parley", "I": "issuer"}
	for _, row := range guideRows(t) {
		var want []string
		if owner := letters[row.whose]; owner != "" && row.class != "shutting_down" {
			want = []string{owner}
		}
		if got := owners[row.class]; !slices.Equal(got, want) {
			t.Errorf("%s: the rules count it as a failure of %v, the guide has %v", row.class, got, want)
		}
	}
}

// tried is a file of rule tests, as far as this test reads it.
type tried struct {
	Tests []struct {
		Name  string
		Rules []struct {
			Name string `yaml:"alertname"`
			At   string `yaml:"eval_time"`
			Exp  []struct {
				Annotations map[string]string `yaml:"exp_annotations"`
			} `yaml:"exp_alerts"`
		} `yaml:"alert_rule_test"`
		Exprs []struct{ Expr string } `yaml:"promql_expr_test"`
	}
}

// readTried gives the files of rule tests that make alerts runs.
func readTried(t *testing.T) (all []tried) {
	t.Helper()
	files, err := filepath.Glob(root + "telemetry/testdata/alerts/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no rule tests", err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var file tried
		if err := yaml.Unmarshal(data, &file); err != nil {
			t.Fatal(name, err)
		}
		all = append(all, file)
	}
	return all
}

// promtool has seen each alert fire and end, and in another case not fire at all; and
// every series that is recorded.
func TestEveryRuleIsTried(t *testing.T) {
	fired, ended, quiet, asked := map[string]bool{}, map[string]bool{}, map[string]bool{}, ""
	for _, file := range readTried(t) {
		for _, test := range file.Tests {
			fires := map[string]bool{}
			for _, r := range test.Rules {
				if len(r.Exp) > 0 {
					fires[r.Name] = true
				} else if fires[r.Name] {
					ended[r.Name] = true
				}
			}
			for _, r := range test.Rules {
				fired[r.Name] = fired[r.Name] || fires[r.Name]
				quiet[r.Name] = quiet[r.Name] || !fires[r.Name]
			}
			for _, e := range test.Exprs {
				asked += e.Expr + "\n"
			}
		}
	}
	for _, r := range readRules(t) {
		if r.Record != "" && !strings.Contains(asked, r.Record) {
			t.Errorf("no test asks for %s", r.Record)
		}
		if r.Alert != "" && (!fired[r.Alert] || !ended[r.Alert] || !quiet[r.Alert]) {
			t.Errorf("%s: seen to fire %v, to end %v, and not to fire in another test %v", r.Alert, fired[r.Alert], ended[r.Alert], quiet[r.Alert])
		}
	}
}

// Each alert leads to a place in the guide that there is.
func TestRunbooksLeadToTheGuide(t *testing.T) {
	places := map[string]bool{}
	for _, m := range regexp.MustCompile(`<a id="(\w+)"></a>`).FindAllStringSubmatch(readTelemetry(t, "README.md"), -1) {
		if places[m[1]] {
			t.Errorf("two places are called %s", m[1])
		}
		places[m[1]] = true
	}
	for f := range server.Failures() {
		if !places[f.Class] {
			t.Errorf("the row of %s has no anchor", f.Class)
		}
	}
	for _, r := range readRules(t) {
		file, place, _ := strings.Cut(r.Annotations.Runbook, "#")
		if r.Alert == "" {
			continue
		}
		if file != `{{ or $externalLabels.guide "telemetry/README.md" }}` {
			t.Errorf("%s leads to %q", r.Alert, file)
		}
		if !strings.Contains(place, "{{") && !places[place] {
			t.Errorf("%s leads to #%s, which is not in the guide", r.Alert, place)
		}
		if !places[r.Alert] && !strings.Contains(readTelemetry(t, "README.md"), r.Alert) {
			t.Errorf("the guide does not know %s", r.Alert)
		}
	}
	for _, file := range readTried(t) {
		for _, test := range file.Tests {
			for _, r := range test.Rules {
				for _, e := range r.Exp {
					if _, place, _ := strings.Cut(e.Annotations["runbook_url"], "#"); !places[place] {
						t.Errorf("%s: %s led to #%s, which is not in the guide", test.Name, r.Name, place)
					}
				}
			}
		}
	}
}
