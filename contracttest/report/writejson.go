package report

import (
	"encoding/json"
	"io"
)

// document is the report as JSON.
type document struct {
	Schema int `json:"schema"`
	Head
	Took     Duration       `json:"tookMs"`
	Exit     int            `json:"exit"`
	Totals   Totals         `json:"totals"`
	Broken   map[string]int `json:"broken"`
	Problems []string       `json:"problems,omitempty"`
	Results  []Result       `json:"results"`
}

// WriteJSON writes the report for programs. Every time is a number of milliseconds;
// the README of the suite says what each field means.
func (r *Report) WriteJSON(w io.Writer) error {
	d := document{Schema: Schema, Head: r.Head, Took: r.Took, Exit: r.Exit(), Totals: r.Totals(), Broken: r.Broken(), Problems: r.Problems, Results: r.Results}
	if d.Results == nil {
		d.Results = []Result{}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(d)
}
