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
	Row      string `json:"row"`
	Fault    string `json:"fault"`
	Column   string `json:"column"`
	Secure   bool   `json:"tls"`
	Expected Expect `json:"expected"`

	Sent       string          `json:"sent,omitempty"`   // what was asked for under the fault
	Status     int             `json:"status,omitempty"` // of HTTP; 0 for the store
	Class      string          `json:"class"`            // "" for success
	Took       []time.Duration `json:"took"`             // to the answer while the fault stood, ns, one for each round
	Recoveries []time.Duration `json:"recovery"`         // from the end of the fault to the first good answer, likewise
	Executions int             `json:"executions"`       // the most that one round saw
	Failures   []string        `json:"failures,omitempty"`
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

func (c *Cell) fail(when string, err error) {
	if err != nil {
		c.Failures = append(c.Failures, when+": "+err.Error())
	}
}

// judge holds an answer that came under the fault against what was promised; a
// bound of 0 lets it take any time.
func (c *Cell) judge(o outcome, bound time.Duration) {
	const when = "under the fault"
	c.Status, c.Class, c.Took = o.status, o.class, append(c.Took, o.took)
	c.fail(when, o.fault)
	if !c.Expected.allows(o.class) {
		c.fail(when, fmt.Errorf("class %q", o.class))
	}
	if bound > 0 && o.took > bound {
		c.fail(when, fmt.Errorf("answered after %v, allowed are %v", o.took, bound))
	}
}

// executed holds the number of executions against its bound.
func (c *Cell) executed(n, limit int) {
	c.Executions = max(c.Executions, n)
	if n > limit {
		c.fail("under the fault", fmt.Errorf("a script of its ran %d times, allowed are %d", n, limit))
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
			c.fail("after the fault", errors.Join(fmt.Errorf("no good answer within %v", s.within()+l.late()), err))
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
