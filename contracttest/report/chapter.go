package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// chapter is a part of the report as a reader sees it.
type chapter struct {
	Name    string
	Rules   []Result // those that are no cells
	Columns []string
	Rows    []row
}

// row is one row of a chapter's matrix.
type row struct {
	ID, Fault string
	Cells     []*Result // one for each column; nil where there is none
}

// chapters brings the results into the order in which they are shown.
func (r *Report) chapters() []chapter {
	var all []chapter
	for _, name := range r.Chapters() {
		c := chapter{Name: name}
		for _, x := range r.Results {
			if x.Chapter == name && x.isCell() && !slices.Contains(c.Columns, x.Column) {
				c.Columns = append(c.Columns, x.Column)
			}
		}
		for i := range r.Results {
			if x := &r.Results[i]; x.Chapter == name {
				c.add(x)
			}
		}
		all = append(all, c)
	}
	return all
}

func (c *chapter) add(x *Result) {
	if !x.isCell() {
		c.Rules = append(c.Rules, *x)
		return
	}
	i := slices.IndexFunc(c.Rows, func(r row) bool { return r.ID == x.Row })
	if i < 0 {
		i = len(c.Rows)
		c.Rows = append(c.Rows, row{ID: x.Row, Fault: x.Fault, Cells: make([]*Result, len(c.Columns))})
	}
	c.Rows[i].Cells[slices.Index(c.Columns, x.Column)] = x
}

// isCell reports whether the rule is a cell of a matrix.
func (r Rule) isCell() bool { return r.Row != "" && r.Column != "" }

// explained are the results that a reader is told the whole of, the worst first.
func (r *Report) explained() []Result {
	var all []Result
	for _, o := range []Outcome{Failed, UnexpectedPass, NotRun, KnownFailure} {
		all = append(all, r.With(o)...)
	}
	return all
}

// unclaimed is something that the server does not claim, and what was skipped for it.
type unclaimed struct {
	Reason string
	IDs    []string
}

// skips groups what was skipped by the reason, in the order of the plan.
func (r *Report) skips() []unclaimed {
	var all []unclaimed
	for _, x := range r.With(Skipped) {
		i := slices.IndexFunc(all, func(u unclaimed) bool { return u.Reason == x.Reason })
		if i < 0 {
			i = len(all)
			all = append(all, unclaimed{Reason: x.Reason})
		}
		all[i].IDs = append(all[i].IDs, x.ID)
	}
	return all
}

// line is one thing that is told of a result, such as what was sent.
type line struct{ Name, Text string }

// lines are what is known of a result, the empty ones left out.
func (x Result) lines() []line {
	all := []line{
		{"must hold", x.Sentence},
		{"fault", x.Fault},
		{"reason", x.Reason},
		{"sent", x.Sent},
		{"expected", x.Expected},
		{"came", x.Came},
		{"breaks", strings.Join(x.Broken, ", ")},
		{"measured", measures(x.Measures)},
		{"repeat", x.Command},
	}
	return slices.DeleteFunc(all, func(l line) bool { return l.Text == "" })
}

func measures(all []Measure) string {
	text := ""
	for i, m := range all {
		if i > 0 {
			text += ", "
		}
		text += m.String()
	}
	return text
}

// broken lists the promises that were broken, the most often broken first.
func (r *Report) broken() string {
	n := r.Broken()
	var all []string
	for _, p := range slices.SortedFunc(maps.Keys(n), func(a, b string) int { return cmp.Or(n[b]-n[a], strings.Compare(a, b)) }) {
		all = append(all, fmt.Sprintf("%s %d ×", p, n[p]))
	}
	return strings.Join(all, ", ")
}

// verdict is the whole run in a few words.
func (r *Report) verdict() string {
	switch r.Exit() {
	case ExitKept:
		return "Every promise that was tried holds."
	case ExitCouldNot:
		return "Not everything could be run."
	}
	return "Promises are broken."
}
