package matrix

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/contracttest/claims"
)

// A row is named once, and is run or says why not.
func TestRows(t *testing.T) {
	seen := map[string]bool{}
	name := regexp.MustCompile(`^[a-z0-9-]+$`)
	check := func(id, fault string) {
		if seen[id] || !name.MatchString(id) || fault == "" {
			t.Errorf("row %q: its name is taken or not one, or it says nothing", id)
		}
		seen[id] = true
	}
	for _, r := range Rows() {
		check(r.ID, r.Fault)
		runs := r.inject != nil && r.Reads != nil && r.Begins != nil && r.Commits != nil && r.Changes != nil && r.Deletes != nil || r.try != nil
		if runs == (r.Omitted != "") {
			t.Errorf("%s: it has to be run, or to say why not", r.ID)
		}
		if (r.try != nil) != (r.tries != "") {
			t.Errorf("%s: a row with a column of its own names it", r.ID)
		}
	}
	for _, r := range UpstreamRows() {
		check(r.ID, r.Fault)
		if strings.HasPrefix(r.Class, "store_") {
			t.Errorf("%s: a fault of the agent is never the store's", r.ID)
		}
	}
}

// The sample leaves out no class that the matrix expects, and names rows that
// there are.
func TestSample(t *testing.T) {
	sampled, expected := map[string]bool{}, map[string]string{}
	left := len(sample())
	see := func(id string, in bool, classes ...string) {
		if in {
			left--
		}
		for _, c := range classes {
			sampled[c] = sampled[c] || in
			expected[c] = id
		}
	}
	for _, r := range Rows() {
		if r.Omitted == "" {
			see(r.ID, r.Sampled(), slices.Concat(r.Reads, r.Begins, r.Commits, r.Changes, r.Deletes, r.Held)...)
		}
	}
	for _, r := range UpstreamRows() {
		see(r.ID, r.Sampled(), r.Class)
	}
	for class, row := range expected {
		if !sampled[class] {
			t.Errorf("%q, which %s expects, is expected by no row of the sample", class, row)
		}
	}
	if left != 0 {
		t.Errorf("%d names of the sample are no rows", left)
	}
}

// mixed is a report with a promise that was kept, one that was broken and a row
// that was not run.
func mixed() *Report {
	r := NewReport(time.Date(2026, 3, 2, 9, 15, 4, 0, time.UTC))
	good := Cell{Row: "full", Fault: "memory", Column: "GET /x", Expected: Expect{""}, Status: 200, Took: []time.Duration{time.Millisecond, 3 * time.Millisecond, 2 * time.Millisecond}, Recoveries: []time.Duration{7 * time.Millisecond}}
	bad := Cell{Row: "refused", Fault: "connections are <refused>", Column: "GET /x", Expected: Expect{"store_unreachable", ""}, Secure: true}
	bad.judge(outcome{status: 502, class: "upstream_error", took: 2 * time.Second}, 0, "")
	bad.judge(outcome{status: 503, class: "store_unreachable", took: 2 * time.Second}, Slack, claims.AtOnce)
	bad.executed(3, maxExecutions)
	r.Rows = []Entry{
		{ID: "full", Fault: "memory", Cells: []Cell{good}},
		{ID: "refused", Fault: "connections are <refused>", Secure: true, Cells: []Cell{bad}},
		{ID: "memory", Fault: "any", Omitted: "not applicable"},
	}
	r.Sort()
	return r
}

// Whoever reads a broken cell learns what was promised and what came.
func TestReport(t *testing.T) {
	r := mixed()
	if r.Rows[0].ID != "refused" || r.Rows[2].ID != "memory" {
		t.Errorf("not in the order of the table: %s, %s, %s", r.Rows[0].ID, r.Rows[1].ID, r.Rows[2].ID)
	}
	dir := t.TempDir()
	if err := r.WriteFiles(dir); err != nil {
		t.Fatal(err)
	}
	for file, wanted := range map[string][]string{
		"matrix.txt": {
			"FAILED: refused-tls/GET /x", "connections are <refused>", "expected  store_unreachable or success",
			`class "upstream_error"`, "answered after 2s with 503 store_unreachable, allowed are 250ms", "ran 3 times", "skipped, not applicable",
			"answer p50 2 ms, max 3 ms, good again 7 ms", "breaks    told, at-once, once", "3 rules: 1 failed, 1 skipped, 1 passed",
		},
		"matrix.html": {"connections are &lt;refused&gt;", `<td class="failed">`, `<td class="passed">`, "not applicable", "503 store_unreachable"},
		"matrix.json": {`"id": "refused-tls/GET /x"`, `"outcome": "failed"`, `"exit": 1`},
	} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Error(err)
		}
		for _, want := range wanted {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s lacks %q:\n%s", file, want, text)
			}
		}
	}
}

// A failure names the promise that it breaks, so that a report can say which promises
// are broken and not only where.
func TestBroken(t *testing.T) {
	const store = "store_unreachable"
	for _, c := range []struct {
		name    string
		outcome outcome
		want    []claims.Claim
	}{
		{"kept", outcome{status: 503, class: store}, nil},
		{"the agent is blamed", outcome{status: 502, class: "upstream_error"}, []claims.Claim{claims.Told}},
		{"no answer, and soon", outcome{class: noAnswer, fault: errors.New("EOF")}, []claims.Claim{claims.Told}},
		{"too late, whatever it says", outcome{status: 502, class: "upstream_error", took: 2 * Slack}, []claims.Claim{claims.BoundedStore}},
		{"no answer at all", outcome{class: noAnswer, took: 2 * Slack}, []claims.Claim{claims.BoundedStore}},
		{"success", outcome{status: 200}, []claims.Claim{claims.Kept}},
		{
			"form",
			outcome{status: 503, class: store, fault: errors.Join(breaks(claims.Discretion, errors.New("an address")), breaks(claims.RetryAfter, errors.New("none")), breaks(claims.Told, nil))},
			[]claims.Claim{claims.Discretion, claims.RetryAfter},
		},
		{"wrapped", outcome{status: 503, class: store, fault: fmt.Errorf("so: %w", breaks(claims.BeginsFirst, errors.New("asked")))}, []claims.Claim{claims.BeginsFirst}},
	} {
		cell := Cell{Expected: Expect{store}}
		cell.judge(c.outcome, Slack, claims.BoundedStore)
		cell = merge([]Cell{cell}, []Cell{cell})[0]
		if !slices.Equal(cell.Broken, c.want) || cell.Failed() != (c.want != nil) {
			t.Errorf("%s: it breaks %q: %q", c.name, cell.Broken, cell.Failures)
		}
	}
}

// A repeat that is answered wrongly breaks a promise about keys only if it has one.
func TestRepeatsBreak(t *testing.T) {
	for _, c := range []struct {
		asks  int
		class string
		want  claims.Claim
	}{{1, "internal", claims.Idempotency}, {0, "internal", claims.Kept}, {0, noAnswer, claims.Told}, {1, noAnswer, claims.Told}} {
		if got := (&routeColumn{route: route{asks: c.asks}}).repeats(outcome{class: c.class}); got != c.want {
			t.Errorf("%s of what asks the agent %d times breaks %q, want %q", c.class, c.asks, got, c.want)
		}
	}
}

// Further rounds add to what the first found.
func TestMerge(t *testing.T) {
	a := []Cell{{Column: "x", Took: []time.Duration{1}, Executions: 2}}
	b := []Cell{{Column: "x", Took: []time.Duration{3}, Executions: 1, Failures: []string{"f"}}}
	got := merge(merge(nil, a), b)[0]
	if len(got.Took) != 2 || got.Executions != 2 || !got.Failed() || longest(got.Took) != 3 || p50(nil) != 0 || longest(nil) != 0 {
		t.Errorf("got %+v", got)
	}
}

// Rows of several nodes have names of their own, and the sample names some of them.
func TestShardRows(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range ShardRows() {
		if seen[r.ID] {
			t.Errorf("two rows are called %q", r.ID)
		}
		seen[r.ID] = true
		if (r.try == nil) == (r.inject == nil) || r.Fault == "" || !slices.Contains(Deployments(), r.On) {
			t.Errorf("%s: a row has a sentence, a deployment, and either a fault or a try", r.ID)
		}
		if r.Promotes && r.Back != time.Second {
			t.Errorf("%s: after a promotion the first good answer may take 1 s, and here it may take %v", r.ID, r.Back)
		}
	}
	for _, id := range sampledShards() {
		if !seen[id] {
			t.Errorf("the sample names %q, which is no row", id)
		}
	}
}
