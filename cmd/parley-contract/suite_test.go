package main

import (
	"context"
	"errors"
	"testing"

	"parley/contracttest/report"
	"parley/contracttest/runner"
)

// What failed in one round has failed, whatever comes of the others and of the time.
func TestRounds(t *testing.T) {
	const passed, failed, notRun = report.Passed, report.Failed, report.NotRun
	type findings = map[string]report.Outcome
	for name, c := range map[string]struct {
		rounds []findings // what comes of them
		over   int        // the round in which the time is over; 0 for none
		tried  int
		want   findings
	}{
		"nothing is found":                 {rounds: []findings{{"a": passed}, {"a": passed}}, tried: 2, want: findings{"a": passed}},
		"it ends when it has failed":       {rounds: []findings{{"a": failed}, {"a": passed}}, tried: 1, want: findings{"a": failed}},
		"it fails after it could not run":  {rounds: []findings{{"a": notRun}, {"a": failed}, {"a": passed}}, tried: 2, want: findings{"a": failed}},
		"it could not run once":            {rounds: []findings{{"a": notRun}, {"a": passed}}, tried: 2, want: findings{"a": notRun}},
		"its neighbour is tried on":        {rounds: []findings{{"a": failed, "b": passed}, {"a": notRun, "b": failed}, {}}, tried: 2, want: findings{"a": failed, "b": failed}},
		"the time ends after a failure":    {rounds: []findings{{"a": failed, "b": passed}, {"a": passed, "b": failed}, {}}, over: 2, tried: 2, want: findings{"a": failed, "b": notRun}},
		"the time ends in the first round": {rounds: []findings{{"a": failed}, {"a": failed}}, over: 1, tried: 1, want: findings{"a": notRun}},
		"the time ends in a later round":   {rounds: []findings{{"a": passed}, {"a": passed}, {}}, over: 2, tried: 2, want: findings{"a": notRun}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s := &suite{options: &options{rounds: len(c.rounds), parallel: 1}}
			tried := 0
			u := unit{name: "a unit", try: func(*attempt) map[string]report.Finding {
				round := map[string]report.Finding{}
				for id, o := range c.rounds[tried] {
					round[id] = report.Finding{Outcome: o}
				}
				if tried++; tried == c.over {
					cancel()
				}
				return round
			}}
			for id := range c.want {
				u.rules = append(u.rules, report.Rule{ID: id})
			}
			recorder, err := report.NewRecorder(report.Head{}, u.rules, nil, report.NewRedactor(), nil)
			if err != nil {
				t.Fatal(err)
			}
			s.tryUnit(ctx, &rig{suite: s}, u, recorder)
			for _, r := range recorder.Finish(errors.New("over")).Results {
				if r.Outcome != c.want[r.ID] {
					t.Errorf("%s: %s, want %s", r.ID, r.Outcome, c.want[r.ID])
				}
			}
			if tried != c.tried {
				t.Errorf("%d rounds were tried, want %d", tried, c.tried)
			}
		})
	}
}

// When the time is over, no other unit begins.
func TestNoUnitAfterTheTime(t *testing.T) {
	s := &suite{options: &options{rounds: 1, parallel: 1}}
	var planned []report.Rule
	tried := 0
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, id := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		rules := []report.Rule{{ID: id}}
		planned = append(planned, rules...)
		s.units = append(s.units, unit{name: id, rules: rules, alone: id > "d", try: func(*attempt) map[string]report.Finding {
			tried++
			cancel()
			return nil
		}})
	}
	recorder, err := report.NewRecorder(report.Head{}, planned, nil, report.NewRedactor(), nil)
	if err != nil {
		t.Fatal(err)
	}
	runner.Run(ctx, "run", func(tb testing.TB) { s.each(tb, &rig{suite: s}, recorder) })
	if tried != 1 {
		t.Errorf("%d units were tried", tried)
	}
}

// A server that breaks its promise and is gone has broken it, also where the rest could
// not be tried for that.
func TestFailedBeforeItCouldNotRun(t *testing.T) {
	u := unit{rules: []report.Rule{{ID: "a"}, {ID: "b"}}, try: func(a *attempt) map[string]report.Finding {
		a.Error("it is gone")
		return map[string]report.Finding{"a": {Outcome: report.Failed, Came: "no answer"}, "b": {Outcome: report.Passed}}
	}}
	got := (&rig{}).attempt(t.Context(), u)
	if got["a"].Outcome != report.Failed || got["a"].Came != "no answer" || got["b"].Outcome != report.NotRun {
		t.Errorf("%+v", got)
	}
}
