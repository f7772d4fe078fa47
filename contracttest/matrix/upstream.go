package matrix

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/contracttest/agenttest"
	"parley/contracttest/claims"
)

// UpstreamRow is one fault of the agent.
type UpstreamRow struct {
	ID         string
	Fault      string
	Class      string // of the answer; "" where the agent answered after all
	RetryAfter int    // seconds, that the agent asked for; 0 for none
	AgentError string // the code that a message of the answer carries
	Waits      bool   // an answer may take the agent's timeout: it is waited for, or worked at
	Omitted    string // why it is not run

	command string        // of the emulator
	work    time.Duration // what an answer may take that is worked at
	away    bool          // the agent is not there
	secure  bool          // over TLS, with a certificate that nobody trusts
}

// UpstreamRows are the faults of the agent.
func UpstreamRows() []UpstreamRow {
	return []UpstreamRow{
		{ID: "agent-refused", Fault: "the agent refuses connections", Class: "upstream_unreachable", away: true},
		{ID: "agent-tls", Fault: "the agent's certificate is of an unknown authority", Class: "upstream_unreachable", Waits: true, secure: true},
		{ID: "agent-hang-up", Fault: "the agent closes the connection before any answer", Class: "upstream_interrupted", command: "/hang-up"},
		{ID: "agent-401", Fault: "the agent answers 401", Class: "upstream_rejected", command: "/401"},
		{ID: "agent-403", Fault: "the agent answers 403", Class: "upstream_rejected", command: "/403"},
		{ID: "agent-404", Fault: "the agent answers 404", Class: "upstream_rejected", command: "/status 404"},
		{ID: "agent-429", Fault: "the agent answers 429 and does not say until when", Class: "upstream_throttled", command: "/429"},
		{ID: "agent-429-after", Fault: "the agent answers 429 with Retry-After: 30", Class: "upstream_throttled", RetryAfter: 30, command: "/429 30"},
		{ID: "agent-500", Fault: "the agent answers 500", Class: "upstream_error", command: "/status 500"},
		{ID: "agent-503", Fault: "the agent answers 503", Class: "upstream_error", command: "/status 503"},
		{ID: "agent-html", Fault: "the agent answers with a web page", Class: "upstream_protocol", command: "/html"},
		{ID: "agent-garbage", Fault: "the agent sends an activity that is not JSON", Class: "upstream_protocol", command: "/garbage"},
		{ID: "agent-cut", Fault: "the connection to the agent breaks after half an answer", Class: "upstream_interrupted", command: "/cut"},
		{ID: "agent-mid-cut", Fault: "the connection to the agent breaks in the middle of an activity", Class: "upstream_interrupted", command: "/mid-cut"},
		{ID: "agent-no-end", Fault: "the agent's answer ends without the event that ends it", Class: "upstream_interrupted", command: "/no-end"},
		{ID: "agent-silent", Fault: "the agent sends headers and then nothing", Class: "upstream_timeout", Waits: true, command: "/silent"},
		{ID: "agent-nothing", Fault: "the agent takes the request and says nothing", Class: "upstream_timeout", Waits: true, command: "/nothing"},
		{ID: "agent-stall", Fault: "the agent sends one message and then nothing", Class: "upstream_timeout", Waits: true, command: "/stall"},
		{ID: "agent-endless", Fault: "the agent sends messages without end", Class: "upstream_timeout", Waits: true, command: "/endless 10ms"},
		{ID: "agent-oversize", Fault: "the agent sends an activity of 9 MiB", Class: "upstream_protocol", Waits: true, work: 10 * AgentTimeout, command: "/oversize"},
		{ID: "agent-error", Fault: "the agent reports an error of the platform in words", AgentError: "SystemError", command: "/error SystemError"},
	}
}

// RunUpstream checks a fault of the agent against the service, on a store of
// its own that is well.
func RunUpstream(tb testing.TB, t Target, redisURL string, r UpstreamRow) []Cell {
	tb.Helper()
	times := measure(tb, t.Bounds)
	timeout := Patience
	if r.Class == "upstream_timeout" {
		timeout = times.agentTimeout
	}
	var columns []*routeColumn
	for _, p := range posts() {
		if !t.asks(p) {
			continue
		}
		c := &routeColumn{route: p, tb: tb, client: client(tb), keys: uuid.NewString() + ":", agent: agenttest.Start(tb), limits: times, lacks: t.Lacks}
		c.client.Timeout = times.GiveUp
		w := Settings{RedisURL: redisURL, Prefix: c.keys, Timeout: Patience, AgentURL: c.agent.URL(), AgentTimeout: timeout}
		if r.secure {
			if !p.opens {
				continue // there is no conversation with an agent that was never reached
			}
			w.AgentURL = agenttest.Untrusted(tb)
		}
		c.base = t.Service(tb, w)
		columns = append(columns, c)
	}
	cells := make([]Cell, len(columns))
	var asking sync.WaitGroup
	for i, c := range columns {
		asking.Go(func() {
			cells[i] = Cell{Row: r.ID, Fault: r.Fault, Column: c.name(), Expected: t.seen(Expect{r.Class}), Sent: c.sends()}
			c.upstream(r, &cells[i])
		})
	}
	asking.Wait()
	return cells
}

// upstream checks one route under a fault of the agent. No key is sent: the
// front end repeats without one.
func (c *routeColumn) upstream(r UpstreamRow, cell *Cell) {
	if r.away {
		c.agent.CloseConnections()
	}
	if !r.secure {
		cell.fail("before the fault", claims.Healthy, patiently(c.prepare))
	}
	if r.away {
		c.agent.Stop()
	}
	c.agent.Misbehave(r.command)
	began := time.Now()
	o := c.ask("")
	o.took = time.Since(began)
	bound, bounded := time.Duration(0), claims.BoundedAgent
	switch {
	case !r.Waits && c.lacks.Has(claims.AtOnce):
		bound, bounded = c.atOnce(), claims.AtOnce
	case c.lacks.Has(claims.BoundedAgent):
		bound = max(r.work, c.agentTimeout)*time.Duration(c.route.asks) + c.Slack + c.late()
	}
	cell.judge(o, bound, bounded)
	if after, _ := strconv.Atoi(c.got.header.Get("Retry-After")); r.RetryAfter != 0 && after != r.RetryAfter && c.lacks.Has(claims.RetryAfter) {
		cell.fail("under the fault", claims.RetryAfter, fmt.Errorf("Retry-After %d, want %d", after, r.RetryAfter))
	}
	if r.AgentError != "" && c.lacks.Has(claims.AgentErrors) && !strings.Contains(c.got.raw, `"agentError":"`+r.AgentError+`"`) {
		cell.fail("under the fault", claims.AgentErrors, fmt.Errorf("the answer does not carry the code: %s", c.got.raw))
	}
	if r.secure {
		return
	}
	cell.fail("after the fault", claims.Kept, c.usable(r))
}

// usable looks at what a failed turn left, and goes on.
func (c *routeColumn) usable(r UpstreamRow) error {
	if r.away {
		c.agent.Restart()
	}
	c.agent.Misbehave("")
	if r.Class != "" {
		if err := c.failed(r); err != nil {
			return err
		}
		if !c.lacks.Has(claims.Adopts) {
			return nil
		}
		again := c.ask("")
		if again.class != "" || again.fault != nil {
			return breaks(claims.Adopts, fmt.Errorf("the same again: %d %s %w", again.status, again.class, again.fault))
		}
	}
	if err := c.kept(); err != nil {
		return err
	}
	_, err := c.must("POST", "/api/chat/send", m{"conversationId": c.id, "text": "and another"}, "")
	return err
}

// failed finds the turn kept as failed, the user's message with it and nothing
// else of it; a conversation that could not be begun is not there.
func (c *routeColumn) failed(r UpstreamRow) error {
	if !c.lacks.Has(claims.FailedTurns) {
		return nil
	}
	kept, err := c.must("GET", "/api/chat/conversations/{id}", nil, "")
	if err != nil {
		return err
	}
	if c.route.opens {
		if !c.lacks.Has(claims.List, claims.KeyPrefix) {
			return nil
		}
		l, err := c.must("GET", "/api/chat/conversations", nil, "")
		if err == nil && len(l.Conversations) != 1 {
			err = fmt.Errorf("%d conversations are listed, want the one that was there", len(l.Conversations))
		}
		return err
	}
	if got, want := roles(kept), "assistant user assistant user"; got != want {
		return fmt.Errorf("after the failure the history is %q, want %q", got, want)
	}
	if len(kept.Failures) != 1 || kept.Failures[0].Turn != 2 || kept.Failures[0].Class != r.Class || kept.PendingTurn != 0 {
		return breaks(claims.FailedTurns, fmt.Errorf("the turn is kept as %+v, pending %d", kept.Failures, kept.PendingTurn))
	}
	return nil
}

// client is an HTTP client of its own, so that no column waits for another's
// connection.
func client(tb testing.TB) *http.Client {
	tb.Helper()
	transport := &http.Transport{}
	tb.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

var errStill = errors.New("it is still there")
