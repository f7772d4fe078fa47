package matrix

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// callersText is the template of the chapter's page.
//
//go:embed callers.html
var callersText string

// CallersReport is the chapter about callers: what each attack did to another tenant.
type CallersReport struct {
	Made    time.Time     `json:"made"`
	Attacks []AttackEntry `json:"attacks"`
}

// Failed is how many attacks broke a promise.
func (r *CallersReport) Failed() int {
	n := 0
	for _, e := range r.Attacks {
		if len(e.Broken) > 0 {
			n++
		}
	}
	return n
}

// Answered lists answers with how often they came.
func Answered(answers map[string]int) string {
	var all []string
	for _, a := range slices.Sorted(maps.Keys(answers)) {
		all = append(all, fmt.Sprintf("%s × %d", a, answers[a]))
	}
	return strings.Join(all, ", ")
}

// WriteText prints three lines for each attack, and one for each broken promise.
func (r *CallersReport) WriteText(out io.Writer) error {
	var w bytes.Buffer
	fmt.Fprintf(&w, "\nCallers: what one tenant does, and what another gets\n")
	for _, e := range r.Attacks {
		mark := "ok  "
		if len(e.Broken) > 0 {
			mark = "FAIL"
		}
		fmt.Fprintf(&w, "\n%s %s (%s): %s\n     must hold: %s\n", mark, e.ID, e.Store, e.About, e.Promise)
		fmt.Fprintf(&w, "     the other tenant: %s, p99 %s → %s (%.2f ×, the machine %s); the attacker: %s; memory %s\n",
			Answered(e.Answers), tenths(e.Calm), tenths(e.Under), e.Ratio(), tenths(e.Machine), Answered(e.Attacker), e.memory())
		for _, b := range e.Broken {
			fmt.Fprintf(&w, "     broken: %s\n", b)
		}
	}
	fmt.Fprintf(&w, "\n%d attacks, %d with a broken promise\n", len(r.Attacks), r.Failed())
	_, err := w.WriteTo(out)
	return err
}

func (e AttackEntry) memory() string {
	if e.LimitMB == 0 {
		return fmt.Sprintf("%d MiB, not judged", e.PeakMB)
	}
	return fmt.Sprintf("%d of %d MiB", e.PeakMB, e.LimitMB)
}

func tenths(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

// WriteFiles writes callers.txt, callers.html and callers.json into a directory.
func (r *CallersReport) WriteFiles(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	var errs []error
	for name, write := range map[string]func(io.Writer) error{
		"callers.txt": r.WriteText, "callers.html": r.WriteHTML, "callers.json": r.WriteJSON,
	} {
		var b bytes.Buffer
		errs = append(errs, write(&b), os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644))
	}
	return errors.Join(errs...)
}

// WriteJSON writes the report for programs; durations are in nanoseconds.
func (r *CallersReport) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// WriteHTML writes the report as one page that needs nothing beside itself.
func (r *CallersReport) WriteHTML(w io.Writer) error {
	return template.Must(template.New("callers").Funcs(template.FuncMap{
		"ms": tenths, "answered": Answered, "memory": AttackEntry.memory,
	}).Parse(callersText)).Execute(w, r)
}
