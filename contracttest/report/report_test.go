package report

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

// cells are two rules and a matrix of two by two.
func plan() []Rule {
	rules := []Rule{{ID: "S1.a", Chapter: "rules", Sentence: "One holds."}, {ID: "S2.b", Chapter: "rules", Sentence: "Two holds."}}
	for _, row := range []string{"refused", "slow"} {
		for _, column := range []string{"GET /a", "POST /b/{id}"} {
			rules = append(rules, Rule{ID: CellID(row, column), Chapter: "faults", Row: row, Column: column, Sentence: "It says so."})
		}
	}
	return rules
}

func record(t *testing.T, known *KnownFailures) *Recorder {
	t.Helper()
	c, err := NewRecorder(Head{Title: "t"}, plan(), known, NewRedactor(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func knownOf(t *testing.T, text string) *KnownFailures {
	t.Helper()
	k, err := ParseKnownFailures("known", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Every planned rule is in the report, in the order of the plan, however the run went.
func TestRecorder(t *testing.T) {
	c := record(t, nil)
	var running sync.WaitGroup
	for _, id := range []string{"slow/GET /a", "S2.b", "S1.a"} {
		running.Go(func() { c.Begin(id); c.End(id, Finding{Outcome: Passed, Took: Duration(time.Second)}) })
	}
	running.Wait()
	r := c.Finish(errors.New("the server is gone"))
	if len(r.Results) != len(plan()) {
		t.Fatalf("%d results", len(r.Results))
	}
	for i, x := range r.Results {
		want := NotRun
		if x.ID == "slow/GET /a" || x.Chapter == "rules" {
			want = Passed
		}
		if x.ID != plan()[i].ID || x.Outcome != want || want == NotRun && x.Reason != "the server is gone" {
			t.Errorf("result %d: %+v", i, x)
		}
	}
	if r.Exit() != ExitCouldNot {
		t.Errorf("exit %d", r.Exit())
	}
}

// A result that nobody asked for, or a second one, is not taken for another's.
func TestRecorderProblems(t *testing.T) {
	c := record(t, nil)
	for _, r := range plan() {
		c.End(r.ID, Finding{Outcome: Passed})
	}
	c.End("S1.a", Finding{Outcome: Failed})
	c.End("S9", Finding{Outcome: Failed})
	if r := c.Finish(nil); len(r.Problems) != 2 || r.Totals().Counts[Passed] != 6 || r.Exit() != ExitBroken {
		t.Errorf("%q, %v", r.Problems, r.Totals())
	}
	for _, plan := range [][]Rule{{{ID: "a"}, {ID: "a"}}, {{}}} {
		if _, err := NewRecorder(Head{}, plan, nil, Redactor{}, nil); err == nil {
			t.Errorf("the plan %v is taken", plan)
		}
	}
}

// The exit status is a function of the outcomes and of nothing else.
func TestExit(t *testing.T) {
	for _, c := range []struct {
		outcomes []Outcome
		problems []string
		want     int
	}{
		{nil, nil, ExitCouldNot},
		{[]Outcome{Passed}, nil, ExitKept},
		{[]Outcome{Passed, Skipped, KnownFailure}, nil, ExitKept},
		{[]Outcome{Skipped}, nil, ExitKept},
		{[]Outcome{Passed, Failed}, nil, ExitBroken},
		{[]Outcome{Passed, UnexpectedPass}, nil, ExitBroken},
		{[]Outcome{Passed, NotRun}, nil, ExitCouldNot},
		{[]Outcome{Failed, NotRun}, nil, ExitBroken},
		{[]Outcome{Passed}, []string{"an entry is stale"}, ExitBroken},
	} {
		r := Report{Problems: c.problems}
		bad := false
		for _, o := range c.outcomes {
			r.Results = append(r.Results, Result{Finding: Finding{Outcome: o}})
			bad = bad || o.Bad()
		}
		if got := r.Exit(); got != c.want || bad && got == ExitKept {
			t.Errorf("%q, %q: exit %d, want %d", c.outcomes, c.problems, got, c.want)
		}
	}
}
