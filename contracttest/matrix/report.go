package matrix

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// pageText is the template of the page.
//
//go:embed page.html
var pageText string

// Report is the matrix with what came of it.
type Report struct {
	Made  time.Time `json:"made"`
	Rows  []Entry   `json:"rows"`
	Bound struct {
		Timeout  time.Duration `json:"timeout"`
		Slack    time.Duration `json:"slack"`
		Recovery time.Duration `json:"recovery"`
	} `json:"bounds"`
}

// Entry is one row of the report.
type Entry struct {
	ID      string `json:"id"`
	Fault   string `json:"fault"`
	Secure  bool   `json:"tls"`
	Omitted string `json:"omitted,omitempty"` // why it was not run
	Cells   []Cell `json:"cells"`
}

// NewReport makes an empty report.
func NewReport(now time.Time) *Report {
	r := &Report{Made: now.UTC().Truncate(time.Second)}
	r.Bound.Timeout, r.Bound.Slack, r.Bound.Recovery = Timeout, Slack, Recovery
	return r
}

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

// Failed are the cells whose promise was broken.
func (r *Report) Failed() []Cell {
	var failed []Cell
	for _, e := range r.Rows {
		for _, c := range e.Cells {
			if c.Failed() {
				failed = append(failed, c)
			}
		}
	}
	return failed
}

// Columns are the names of all columns in the order in which they came.
func (r *Report) Columns() []string {
	var names []string
	for _, e := range r.Rows {
		for _, c := range e.Cells {
			if !slices.Contains(names, c.Column) {
				names = append(names, c.Column)
			}
		}
	}
	return names
}

// Cell finds the cell of a column; nil if the row has none.
func (e Entry) Cell(column string) *Cell {
	for i := range e.Cells {
		if e.Cells[i].Column == column {
			return &e.Cells[i]
		}
	}
	return nil
}

// WriteText prints a line for each cell, and for each broken one what was
// promised and what came.
func (r *Report) WriteText(out io.Writer) error {
	var w bytes.Buffer
	for _, e := range r.Rows {
		how := ""
		if e.Secure {
			how = " (over TLS)"
		}
		fmt.Fprintf(&w, "\n%s%s: %s\n", e.ID, how, e.Fault)
		if e.Omitted != "" {
			fmt.Fprintf(&w, "  not run: %s\n", e.Omitted)
		}
		for _, c := range e.Cells {
			mark := "ok  "
			if c.Failed() {
				mark = "FAIL"
			}
			fmt.Fprintf(&w, "  %s %-46s %-24s answer p50 %6s max %6s  good again %6s  ran %d\n",
				mark, c.Column, c.Answer(), ms(p50(c.Took)), ms(longest(c.Took)), ms(longest(c.Recoveries)), c.Executions)
		}
	}
	failed := r.Failed()
	for _, c := range failed {
		fmt.Fprintf(&w, "\n%s\n", c.Explain())
	}
	fmt.Fprintf(&w, "\n%d rows, %d promises broken\n", len(r.Rows), len(failed))
	_, err := w.WriteTo(out)
	return err
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

func ms(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

// WriteFiles writes matrix.txt, matrix.html and matrix.json into a directory.
func (r *Report) WriteFiles(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	var errs []error
	for name, write := range map[string]func(io.Writer) error{
		"matrix.txt": r.WriteText, "matrix.html": r.WriteHTML, "matrix.json": r.WriteJSON,
	} {
		var b bytes.Buffer
		errs = append(errs, write(&b), os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644))
	}
	return errors.Join(errs...)
}

// WriteJSON writes the report for programs; durations are in nanoseconds.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// WriteHTML writes the report as one page that needs nothing beside itself.
func (r *Report) WriteHTML(w io.Writer) error { return pageTemplate().Execute(w, r) }

func pageTemplate() *template.Template {
	return template.Must(template.New("page").Funcs(template.FuncMap{
		"ms": ms, "p50": p50, "longest": longest,
	}).Parse(pageText))
}
