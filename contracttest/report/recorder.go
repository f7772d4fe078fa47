package report

import (
	"fmt"
	"sync"
	"time"
)

// Watcher is told of a run while it goes on. Its methods are called one at a time,
// and the run waits for them.
type Watcher interface {
	// Begun tells that a rule runs now.
	Begun(r Rule)
	// Ended tells what came of one; done of all planned rules have ended.
	Ended(r Result, done, all int)
}

// Recorder takes what a run finds. Its methods may be called from many goroutines.
type Recorder struct {
	head   Head
	known  *KnownFailures
	redact Redactor
	watch  Watcher
	began  time.Time

	mu       sync.Mutex
	results  []Result
	index    map[string]int // into results, by id
	ended    map[string]bool
	problems []string
	done     int
}

// NewRecorder begins a run. The plan holds every rule that the run is about, those
// that will be skipped as well. known may be nil; watch may be nil. Two rules of one
// id, or a rule without one, are an error: the results could not be told apart.
func NewRecorder(h Head, plan []Rule, known *KnownFailures, redact Redactor, watch Watcher) (*Recorder, error) {
	c := &Recorder{head: h, known: known, redact: redact, watch: watch, began: time.Now(), index: map[string]int{}, ended: map[string]bool{}}
	c.head.Target = redact.clean(h.Target, maxText)
	if c.head.Began.IsZero() {
		c.head.Began = c.began
	}
	c.head.Began = c.head.Began.UTC().Truncate(time.Second)
	for _, r := range plan {
		if _, twice := c.index[r.ID]; twice || r.ID == "" {
			return nil, fmt.Errorf("the plan has the rule %q twice, or one without an id", r.ID)
		}
		c.index[r.ID] = len(c.results)
		r.Command = redact.clean(r.Command, maxText)
		c.results = append(c.results, Result{Rule: r, Finding: Finding{Outcome: NotRun}})
	}
	return c, nil
}

// Begin tells that a rule runs now.
func (c *Recorder) Begin(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i, ok := c.index[id]; ok && c.watch != nil {
		c.watch.Begun(c.results[i].Rule)
	}
}

// End takes what came of a rule: Passed, Failed, Skipped or NotRun. Whether that was
// known is found out here. A rule that is not in the plan, or ends twice, is a problem
// of the run.
func (c *Recorder) End(id string, f Finding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, planned := c.index[id]
	if !planned || c.ended[id] {
		c.problems = append(c.problems, fmt.Sprintf("the rule %q ended twice, or was not planned", id))
		return
	}
	c.ended[id] = true
	c.done++
	c.results[i].Finding = c.known.judge(id, f).clean(c.redact)
	if c.watch != nil {
		c.watch.Ended(c.results[i], c.done, len(c.results))
	}
}

// Finish ends the run and gives its report. Rules that have not ended could not be
// run, because of why; nil stands for no reason that is known.
func (c *Recorder) Finish(why error) *Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	reason := "the run ended before it was tried"
	if why != nil {
		reason = c.redact.clean(why.Error(), maxReason)
	}
	for i := range c.results {
		if x := &c.results[i]; !c.ended[x.ID] {
			x.Reason = reason
		}
	}
	r := &Report{Head: c.head, Took: Duration(time.Since(c.began)), Results: c.results, Problems: c.problems}
	r.Problems = append(r.Problems, c.known.unconfirmed(r.Results)...)
	return r
}

// Of makes a report of results that are there already, for a run without a plan.
func Of(h Head, redact Redactor, results []Result) *Report {
	h.Began = h.Began.UTC().Truncate(time.Second)
	r := &Report{Head: h, Took: Duration(time.Since(h.Began))}
	for _, x := range results {
		x.Finding = x.clean(redact)
		r.Results = append(r.Results, x)
	}
	return r
}
