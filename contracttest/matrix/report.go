package matrix

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"parley/contracttest/report"
)

// Report is the matrix with what came of it.
type Report struct {
	Made time.Time
	Rows []Entry
}

// Entry is one row of the report.
type Entry struct {
	ID      string
	Fault   string
	Secure  bool   // over TLS
	Omitted string // why it was not run
	Cells   []Cell
}

// NewReport makes an empty report.
func NewReport(now time.Time) *Report { return &Report{Made: now} }

// Sort brings the rows into the order of the tables they come from; they end in
// any.
func (r *Report) Sort() {
	order := map[string]int{}
	for _, row := range Rows() {
		order[row.ID] = len(order)
	}
	for _, row := range UpstreamRows() {
		order[row.ID] = len(order)
	}
	slices.SortStableFunc(r.Rows, func(a, b Entry) int {
		if c := cmp.Compare(order[a.ID], order[b.ID]); c != 0 || a.Secure == b.Secure {
			return c
		} else if b.Secure {
			return -1
		}
		return 1
	})
}

// chapter is what the matrix is called in a report.
const chapter = "faults"

// WriteFiles writes the report as matrix.txt, matrix.html and matrix.json into a
// directory.
func (r *Report) WriteFiles(dir string) error { return r.report().WriteFiles(dir, "matrix") }

func (r *Report) report() *report.Report {
	var results []report.Result
	for _, e := range r.Rows {
		if e.Omitted != "" {
			results = append(results, report.Result{
				Rule:    report.Rule{ID: e.ID, Chapter: chapter, Sentence: e.Fault},
				Finding: report.Finding{Outcome: report.Skipped, Reason: e.Omitted},
			})
		}
		for _, c := range e.Cells {
			results = append(results, report.Result{Rule: c.Rule(), Finding: c.Finding()})
		}
	}
	return report.Of(report.Head{
		Title: "Fault matrix", Tool: "make contract", Began: r.Made, Bounds: []report.Measure{
			report.Milliseconds("answer under a fault that has to be waited for", Timeout+Slack),
			report.Milliseconds("at once", AtOnce), report.Milliseconds("first good answer after it", Recovery),
		},
	}, report.Redactor{}, results)
}

// Rule is what the cell tries.
func (c Cell) Rule() report.Rule {
	row := c.Row
	if c.Secure {
		row += "-tls"
	}
	return report.Rule{
		ID: report.CellID(row, c.Column), Chapter: chapter, Row: row, Column: c.Column, Fault: c.Fault,
		Sentence: "While the fault stands, it ends in " + c.Expected.String() + "; afterwards it works, and what was acknowledged is there once.",
	}
}

// Finding is what came of the cell.
func (c Cell) Finding() report.Finding {
	f := report.Finding{
		Outcome: report.Passed, Answer: c.Answer(), Sent: c.Sent, Expected: c.Expected.String(), Came: strings.Join(c.Failures, "\n"),
	}
	if c.Failed() {
		f.Outcome = report.Failed
	}
	for _, p := range c.Broken {
		f.Broken = append(f.Broken, string(p))
	}
	if len(c.Took) > 0 {
		f.Measures = append(f.Measures, report.Milliseconds("answer p50", p50(c.Took)), report.Milliseconds("max", longest(c.Took)))
	}
	if len(c.Recoveries) > 0 {
		f.Measures = append(f.Measures, report.Milliseconds("good again", longest(c.Recoveries)))
	}
	if c.Executions > 0 {
		f.Measures = append(f.Measures, report.Measure{Name: "ran", Value: float64(c.Executions), Unit: "×"})
	}
	for _, all := range [][]time.Duration{c.Took, c.Recoveries} {
		for _, d := range all {
			f.Took += report.Duration(d)
		}
	}
	return f
}

// Answer is the status and the class in a few words.
func (c Cell) Answer() string {
	class := c.Class
	if class == "" {
		class = "ok"
	}
	if c.Status == 0 {
		return class
	}
	return fmt.Sprintf("%d %s", c.Status, class)
}
