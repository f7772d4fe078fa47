package matrix

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"parley/contracttest/claims"
)

// maxExecutions is how often a script may run for one request: once, and once
// more for the one repeat that the store allows itself.
const maxExecutions = 2

// maxPersisting is how often a script may run in one Timeout when it is tried again
// until the request's time is over. All runs but the first find it done.
const maxPersisting = 24

// Cell is what came of one column under one fault.
type Cell struct {
	Row      string
	Fault    string
	Column   string
	Secure   bool
	Expected Expect

	Sent       string          // what was asked for under the fault
	Status     int             // of HTTP; 0 for the store
	Class      string          // "" for success
	Took       []time.Duration // to the answer while the fault stood, ns, one for each round
	Recoveries []time.Duration // from the end of the fault to the first good answer, likewise
	Executions int             // the most that one round saw
	Failures   []string
	Broken     []claims.Claim // the promises that the failures broke, each once
}

// Failed reports whether the promise was broken.
func (c Cell) Failed() bool { return len(c.Failures) > 0 }

// String names the cell.
func (c Cell) String() string {
	how := ""
	if c.Secure {
		how = " over TLS"
	}
	return fmt.Sprintf("%s × %s%s", c.Row, c.Column, how)
}

// Explain says what was promised and what came.
func (c Cell) Explain() string {
	return fmt.Sprintf("%s\n\tfault:    %s\n\texpected: %s\n\tcame:     %s",
		c, c.Fault, c.Expected, strings.Join(c.Failures, "\n\t          "))
}

// String reads as a sentence.
func (e Expect) String() string {
	words := make([]string, len(e))
	for i, class := range e {
		if words[i] = class; class == "" {
			words[i] = "success"
		}
	}
	return strings.Join(words, " or ")
}

// fail notes an error, and that it breaks a promise; those that are said in the error
// itself instead, if there are any.
func (c *Cell) fail(when string, promise claims.Claim, err error) {
	if err == nil {
		return
	}
	c.Failures = append(c.Failures, when+": "+err.Error())
	broken := promises(err)
	if broken == nil {
		broken = []claims.Claim{promise}
	}
	for _, p := range broken {
		if !slices.Contains(c.Broken, p) {
			c.Broken = append(c.Broken, p)
		}
	}
}

// breach is an error that breaks a promise.
type breach struct {
	promise claims.Claim
	error
}

// Unwrap gives what came.
func (b breach) Unwrap() error { return b.error }

// breaks says which promise an error breaks; nil for nil.
func breaks(promise claims.Claim, err error) error {
	if err == nil {
		return nil
	}
	return breach{promise, err}
}

// promises are those that an error, and what it is made of, says to be broken.
func promises(err error) []claims.Claim {
	switch e := err.(type) { //nolint:errorlint // the whole tree is walked
	case breach:
		return []claims.Claim{e.promise}
	case interface{ Unwrap() error }:
		return promises(e.Unwrap())
	case interface{ Unwrap() []error }:
		var all []claims.Claim
		for _, one := range e.Unwrap() {
			all = append(all, promises(one)...)
		}
		return all
	}
	return nil
}

// judge holds an answer that came under the fault against what was promised; a
// bound of 0 lets it take any time. An answer that came too late, or not at all, breaks
// the bound and nothing else: what it says is of another time.
func (c *Cell) judge(o outcome, bound time.Duration, bounded claims.Claim) {
	const when = "under the fault"
	c.Status, c.Class, c.Took = o.status, o.class, append(c.Took, o.took)
	switch {
	case bound == 0 || o.took <= bound:
	case o.class == noAnswer:
		c.fail(when, bounded, fmt.Errorf("no answer within %v, allowed are %v", o.took, bound))
		return
	default:
		c.fail(when, bounded, fmt.Errorf("answered after %v with %s, allowed are %v", o.took, c.Answer(), bound))
		return
	}
	c.fail(when, claims.Told, o.fault)
	switch {
	case c.Expected.allows(o.class):
	case o.class == "":
		c.fail(when, claims.Kept, errors.New("success, although it cannot be stored"))
	default:
		c.fail(when, claims.Told, fmt.Errorf("class %q", o.class))
	}
}

// executed holds the number of executions against its bound.
func (c *Cell) executed(n, limit int) {
	c.Executions = max(c.Executions, n)
	if n > limit {
		c.fail("under the fault", claims.Once, fmt.Errorf("a script of its ran %d times, allowed are %d", n, limit))
	}
}

// recover asks until there is a good answer.
func (c *Cell) recover(healed time.Time, s column, l limits) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.works()
		took := time.Since(healed)
		switch {
		case took > s.within()+l.late():
			c.fail("after the fault", claims.Recovers, errors.Join(fmt.Errorf("no good answer within %v", s.within()+l.late()), err))
			return
		case err == nil:
			c.Recoveries = append(c.Recoveries, took)
			return
		}
		<-tick.C
	}
}

// statusOf is what HTTP makes of a class.
func statusOf(class string) int {
	switch {
	case class == "store_corrupt":
		return http.StatusInternalServerError
	case class == "turn_conflict":
		return http.StatusConflict
	case strings.HasPrefix(class, "store_"):
		return http.StatusServiceUnavailable
	case class == "upstream_timeout":
		return http.StatusGatewayTimeout
	case strings.HasPrefix(class, "upstream_"):
		return http.StatusBadGateway
	}
	return http.StatusOK
}

// statusClass stands for the class of an answer that does not name one.
func statusClass(status int) string { return fmt.Sprintf("status %d", status) }

// seen is what can be seen of an expectation in the answers of a service.
func (t Target) seen(e Expect) Expect {
	if t.Lacks.Has(claims.Classes) {
		return e
	}
	var s Expect
	for _, class := range e {
		if class != "" && class != disconnected {
			class = statusClass(statusOf(class))
		}
		if !s.allows(class) {
			s = append(s, class)
		}
	}
	return s
}

// merge puts the cells of a further round into those there are.
func merge(all, round []Cell) []Cell {
	if all == nil {
		return round
	}
	for i, c := range round {
		a := &all[i]
		a.Status, a.Class = c.Status, c.Class
		a.Took, a.Recoveries = append(a.Took, c.Took...), append(a.Recoveries, c.Recoveries...)
		a.Executions = max(a.Executions, c.Executions)
		a.Failures = append(a.Failures, c.Failures...)
		for _, p := range c.Broken {
			if !slices.Contains(a.Broken, p) {
				a.Broken = append(a.Broken, p)
			}
		}
	}
	return all
}

// p50 is the middle of some durations, 0 if there are none.
func p50(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(d))
	return sorted[len(sorted)/2]
}

func longest(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	return slices.Max(d)
}
