// Package report is what a run of the contract suite found: one result for each
// rule and each cell of the matrix, and writers that turn them into a page, JSON,
// JUnit XML, Markdown and text for a terminal.
//
// A run is planned before it begins. A Recorder takes the plan and what was found,
// and every planned rule is in the report: one that never ended could not be run.
//
// What a server answers is written by strangers. Everything that comes in is
// redacted, made visible and bounded once, in Recorder.End; the writers escape for
// their own format and nothing else.
package report

import (
	"slices"
	"time"
)

// Schema is the version of the JSON that WriteJSON writes. It grows when a field
// is renamed, removed, or means something else; not when one is added.
const Schema = 1

// Outcome is how a rule ended.
type Outcome string

// The outcomes.
const (
	Passed         Outcome = "passed"
	Failed         Outcome = "failed"
	Skipped        Outcome = "skipped"             // not claimed; Reason names what is not
	KnownFailure   Outcome = "known_failure"       // failed, and is expected to; Reason says why
	UnexpectedPass Outcome = "unexpectedly_passed" // passed, and is expected to fail
	NotRun         Outcome = "could_not_run"       // nothing is known of it; Reason says why
)

// outcomes are all of them, from what needs a reader's eye most to what needs it
// least.
func outcomes() []Outcome {
	return []Outcome{Failed, UnexpectedPass, NotRun, KnownFailure, Skipped, Passed}
}

// Bad reports whether a run with such a result must not be green.
func (o Outcome) Bad() bool { return o == Failed || o == UnexpectedPass || o == NotRun }

// words is the outcome for people.
func (o Outcome) words() string {
	switch o {
	case KnownFailure:
		return "known failure"
	case UnexpectedPass:
		return "unexpectedly passed"
	case NotRun:
		return "could not run"
	default:
		return string(o)
	}
}

// Rule is what a run tries. The suite makes rules; their texts are trusted.
type Rule struct {
	// ID is unique in a run, and what --only, --explain and known failures name: an
	// id without a slash, or CellID of a row and a column.
	ID string `json:"id"`
	// Chapter groups rules, in the order of the plan.
	Chapter string `json:"chapter"`
	// Sentence says what must hold.
	Sentence string `json:"sentence"`
	// Row and Column place a cell in the matrix of its chapter. Both are empty for a
	// rule that is not a cell.
	Row    string `json:"row,omitempty"`
	Column string `json:"column,omitempty"`
	// Fault says what is wrong while the cell is tried; the same for a whole row.
	Fault string `json:"fault,omitempty"`
	// Command repeats this rule alone; empty where there is none.
	Command string `json:"command,omitempty"`
}

// CellID is the id of the cell in a row and a column. A row has no slash.
func CellID(row, column string) string { return row + "/" + column }

// Finding is what came of a rule. Its texts may hold what a server answered.
type Finding struct {
	Outcome Outcome `json:"outcome"`
	// Reason says why, where Outcome alone does not.
	Reason string `json:"reason,omitempty"`
	// Answer is what came in a few words, such as "503 store_timeout": what a cell of
	// the matrix shows.
	Answer string `json:"answer,omitempty"`
	// Sent, Expected and Came explain a failure: what was asked of the server, what had
	// to come, and what came instead.
	Sent     string `json:"sent,omitempty"`
	Expected string `json:"expected,omitempty"`
	Came     string `json:"came,omitempty"`
	// Broken are the names of the promises that a failure broke. One rule, and one cell
	// even more, looks at several.
	Broken []string `json:"broken,omitempty"`
	// Measures are numbers that a reader may want beside the answer.
	Measures []Measure `json:"measures,omitempty"`
	// Took is how long the rule ran, preparation and recovery included.
	Took Duration `json:"tookMs"`
}

// Measure is a number with its name and unit.
type Measure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit,omitempty"`
}

// Milliseconds is a measured time.
func Milliseconds(name string, d time.Duration) Measure {
	return Measure{Name: name, Value: float64(d.Round(100*time.Microsecond)) / float64(time.Millisecond), Unit: "ms"}
}

// Result is a rule with what came of it.
type Result struct {
	Rule
	Finding
}

// Head says what ran against what.
type Head struct {
	Title   string    `json:"title"`             // of the page and of the test suite in JUnit XML
	Tool    string    `json:"tool"`              // name of the program
	Version string    `json:"version"`           // of the program
	Target  string    `json:"target"`            // the command line or URL of the server under test
	Profile string    `json:"profile,omitempty"` // what the server claims
	Store   string    `json:"store,omitempty"`   // where it keeps conversations
	Seed    uint64    `json:"seed"`
	Rounds  int       `json:"rounds"`
	Began   time.Time `json:"began"`
	Bounds  []Measure `json:"bounds,omitempty"` // times that every cell is held to
}

// Report is a whole run.
type Report struct {
	Head
	Took    Duration `json:"tookMs"`
	Results []Result `json:"results"` // in the order of the plan
	// Problems are faults of the run itself, such as an entry of the known failures
	// that nothing in this run could confirm. With one the run is not green.
	Problems []string `json:"problems,omitempty"`
}

// Totals are how many results have each outcome.
type Totals struct {
	All    int             `json:"all"`
	Counts map[Outcome]int `json:"byOutcome"` // every outcome is there, 0 included
}

// Totals counts the results.
func (r *Report) Totals() Totals {
	t := Totals{All: len(r.Results), Counts: map[Outcome]int{}}
	for _, o := range outcomes() {
		t.Counts[o] = 0
	}
	for _, x := range r.Results {
		t.Counts[x.Outcome]++
	}
	return t
}

// Broken counts in how many failures each promise was broken, known ones included.
func (r *Report) Broken() map[string]int {
	n := map[string]int{}
	for _, x := range r.Results {
		for _, p := range x.Broken {
			n[p]++
		}
	}
	return n
}

// With lists the results that ended so.
func (r *Report) With(o Outcome) []Result {
	var found []Result
	for _, x := range r.Results {
		if x.Outcome == o {
			found = append(found, x)
		}
	}
	return found
}

// The exit statuses of a run.
const (
	ExitKept     = 0 // every promise that was tried held, or is a known failure
	ExitBroken   = 1 // a rule is broken, a known failure passed, or the run has a problem
	ExitCouldNot = 2 // nothing is broken, but something that was asked for could not be run
)

// Exit is the exit status of the run. What is broken counts before what could not
// be run: it is known for certain. A run without results could not be run.
func (r *Report) Exit() int {
	t := r.Totals()
	switch {
	case t.Counts[Failed]+t.Counts[UnexpectedPass]+len(r.Problems) > 0:
		return ExitBroken
	case t.Counts[NotRun] > 0 || t.All == 0:
		return ExitCouldNot
	}
	return ExitKept
}

// Chapters are the names of the chapters in the order of the plan.
func (r *Report) Chapters() []string {
	var names []string
	for _, x := range r.Results {
		if !slices.Contains(names, x.Chapter) {
			names = append(names, x.Chapter)
		}
	}
	return names
}
