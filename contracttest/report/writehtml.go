package report

import (
	_ "embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"strings"
)

// pageText is the template of the page.
//
//go:embed page.html
var pageText string

// page is what the template shows.
type page struct {
	Title, Verdict, Counts string
	Took                   Duration
	About                  []line
	Outcomes               []outcomeCount
	Problems               []string
	Explained              []Result
	Chapters               []chapter
}

type outcomeCount struct {
	Outcome Outcome
	Words   string
	Number  int
}

// WriteHTML writes the report as one page that needs no network and no script, and
// follows the reader's choice of light or dark.
func (r *Report) WriteHTML(w io.Writer) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		"words":    Outcome.words,
		"measures": measures,
		"lines":    Result.lines,
		// An id can hold anything, a space included, which the name of an anchor cannot.
		"anchor":    func(id string) string { return "r" + hex.EncodeToString([]byte(id)) },
		"explained": func(o Outcome) bool { return o != Passed && o != Skipped },
	}).Parse(pageText)
	if err != nil {
		return err
	}
	p := page{
		Title: r.Title, Verdict: r.verdict(), Counts: r.counts(), Took: r.Took, About: r.about(), Problems: r.Problems,
		Explained: r.explained(), Chapters: r.chapters(),
	}
	totals := r.Totals()
	for _, o := range outcomes() {
		p.Outcomes = append(p.Outcomes, outcomeCount{o, o.words(), totals.Counts[o]})
	}
	return t.Execute(w, p)
}

// about is what ran against what, the empty lines left out.
func (r *Report) about() []line {
	var all []line
	repeat := ""
	if r.Rounds > 0 {
		repeat = fmt.Sprintf("%d, %d", r.Seed, r.Rounds)
	}
	for _, l := range []line{
		{"broken promises", r.broken()},
		{"server under test", r.Target},
		{"profile", r.Profile},
		{"store", r.Store},
		{"begun", r.Began.UTC().Format("2006-01-02 15:04:05 UTC")},
		{"seed, rounds", repeat},
		{"held to", measures(r.Bounds)},
		{"made by", strings.TrimSpace(r.Tool + " " + r.Version)},
	} {
		if l.Text != "" {
			all = append(all, l)
		}
	}
	return all
}
