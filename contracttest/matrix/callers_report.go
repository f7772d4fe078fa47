package matrix

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"parley/contracttest/report"
)

// CallersReport is the chapter about callers: what each attack did to another tenant.
type CallersReport struct {
	Made    time.Time
	Attacks []AttackEntry
}

// Answered lists answers with how often they came.
func Answered(answers map[string]int) string {
	var all []string
	for _, a := range slices.Sorted(maps.Keys(answers)) {
		all = append(all, fmt.Sprintf("%s × %d", a, answers[a]))
	}
	return strings.Join(all, ", ")
}

// WriteFiles writes the chapter as callers.txt, callers.html and callers.json into a
// directory.
func (r *CallersReport) WriteFiles(dir string) error { return r.report().WriteFiles(dir, "callers") }

func (r *CallersReport) report() *report.Report {
	var results []report.Result
	for _, e := range r.Attacks {
		results = append(results, report.Result{Rule: e.Rule(), Finding: e.Finding()})
	}
	return report.Of(report.Head{Title: "Callers: what one tenant does, and what another gets", Tool: "make contract", Began: r.Made}, report.Redactor{}, results)
}

// Rule is what the attack tries: a row of the chapter, in the column of its store.
func (e AttackEntry) Rule() report.Rule {
	return report.Rule{
		ID: report.CellID(e.ID, e.Store), Chapter: "callers", Row: e.ID, Column: e.Store, Fault: "One tenant " + e.About + ".",
		Sentence: "Another tenant is served, and " + e.Promise + ".",
	}
}

// Finding is what came of the attack. The answer is what the other tenant got.
func (e AttackEntry) Finding() report.Finding {
	f := report.Finding{
		Outcome: report.Passed, Answer: Answered(e.Answers), Came: strings.Join(e.Broken, "\n"), Measures: []report.Measure{
			report.Milliseconds("p99 before", e.Calm), report.Milliseconds("during", e.Under),
			{Name: "which is", Value: e.Ratio(), Unit: "×"},
			report.Milliseconds("the machine was late by", e.Machine),
			{Name: "memory", Value: float64(e.PeakMB), Unit: "MiB"},
		},
	}
	if len(e.Broken) > 0 {
		f.Outcome, f.Expected = report.Failed, e.Promise
	}
	if e.LimitMB > 0 {
		f.Measures = append(f.Measures, report.Measure{Name: "allowed", Value: float64(e.LimitMB), Unit: "MiB"})
	}
	for _, a := range slices.Sorted(maps.Keys(e.Attacker)) {
		f.Measures = append(f.Measures, report.Measure{Name: "attacker got " + a, Value: float64(e.Attacker[a]), Unit: "×"})
	}
	return f
}
