package report

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The README tells of every field of the JSON, and of no other.
func TestFieldsAreDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d any
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	fields := map[string]bool{}
	collect(d, fields)
	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(readme), "<!-- report-fields -->")
	table, _, ok := strings.Cut(table, "<!-- /report-fields -->")
	if !ok {
		t.Fatal("the README has no table of the fields")
	}
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("`([A-Za-z]+)`").FindAllStringSubmatch(table, -1) {
		documented[m[1]] = true
	}
	if got, want := slices.Sorted(maps.Keys(documented)), slices.Sorted(maps.Keys(fields)); !slices.Equal(got, want) {
		t.Errorf("documented: %q\nwritten:    %q", got, want)
	}
}

// collect finds the names of all fields. The keys of counts are data.
func collect(v any, fields map[string]bool) {
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			collect(one, fields)
		}
	case map[string]any:
		for name, one := range v {
			fields[name] = true
			if name != "byOutcome" && name != "broken" {
				collect(one, fields)
			}
		}
	}
}

// The README tells of every outcome, with the letter that a matrix shows for it.
func TestOutcomesAreDocumented(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range outcomes() {
		if row := "| `" + string(o) + "` | `" + o.mark() + "` |"; !strings.Contains(string(readme), row) {
			t.Errorf("the README has no row %s", row)
		}
	}
}
