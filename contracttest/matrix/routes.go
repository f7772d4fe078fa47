package matrix

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/contracttest/agenttest"
	"parley/contracttest/claims"
)

// routeColumn is one route of the service, or the end of a turn on one.
type routeColumn struct {
	route  route
	tb     testing.TB
	client *http.Client
	base   string
	keys   string
	agent  *agenttest.Agent

	id    string // of the conversation with an acknowledged turn
	asked int    // how often the agent had been asked before the call

	answers chan outcome // of the call that is on its way
	got     reply        // what the last call was answered
	tries   int          // conversations that works may have begun
	down    bool         // whether health is to tell of the fault
	lacks   claims.Lacking
	limits
}

// route is what a column asks.
type route struct {
	method, path string
	// commit columns are fired when the agent has been asked: the fault stands
	// between its answer and the store.
	commit bool
	expect func(r Row) Expect
	body   func(id string) any
	// asks is how often the agent is asked for it.
	asks int
	// adds is what it leaves in a history, by roles.
	adds string
	// opens says that it begins a conversation of its own.
	opens bool
}

type m map[string]any

// posts are the routes that run a turn.
func posts() []route {
	return []route{
		{method: "POST", path: "/api/chat/start", asks: 1, adds: "assistant", opens: true, body: func(string) any { return m{} }},
		{method: "POST", path: "/api/chat/send", asks: 1, adds: "user assistant", body: func(id string) any { return m{"conversationId": id, "text": "question"} }},
		{method: "POST", path: "/api/chat/card-action", asks: 1, adds: "user assistant", body: func(id string) any {
			return m{"conversationId": id, "cardId": "c", "userSummary": "question", "submitData": m{"action": "Action.Submit"}}
		}},
		{method: "POST", path: "/api/chat/orchestrate", asks: 2, adds: "assistant user assistant", opens: true, body: func(string) any { return m{"query": "question"} }},
	}
}

// routes are all that is asked under each fault.
func routes() []route {
	var all []route
	for _, p := range posts() {
		p.expect = func(r Row) Expect { return r.Begins }
		if !p.opens {
			p.expect = func(r Row) Expect { return r.held(r.Begins) }
		}
		all = append(all, p)
	}
	for _, p := range posts() {
		p.commit, p.expect = true, func(r Row) Expect { return r.Commits }
		all = append(all, p)
	}
	return append(
		all,
		route{method: "GET", path: "/api/chat/conversations", expect: func(r Row) Expect { return r.Reads }},
		route{method: "GET", path: "/api/chat/conversations/{id}", expect: func(r Row) Expect { return r.held(r.Reads) }},
		route{method: "GET", path: "/api/chat/conversations/{id}/stream", expect: Row.looks},
		route{method: "POST", path: "/api/chat/conversations/{id}/stop", expect: Row.looks},
		route{method: "PATCH", path: "/api/chat/conversations/{id}", expect: func(r Row) Expect { return r.held(r.Changes) }, body: func(string) any { return m{"status": "abandoned"} }},
		route{method: "DELETE", path: "/api/chat/conversations/{id}", expect: func(r Row) Expect { return r.Deletes }},
	)
}

// turn reports whether it runs a turn.
func (r route) turn() bool { return r.asks > 0 }

// claim is what a service has to claim for the route to be asked.
func (r route) claim() claims.Claim { return claims.Route(r.method, r.path) }

func (r route) name() string {
	name := r.method + " " + r.path
	if r.commit {
		name += " (answer)"
	}
	return name
}

// asks reports whether a route is asked of a target. To look whether anything was
// lost, a conversation is begun before the fault.
func (t Target) asks(r route) bool {
	return t.Lacks.Has(r.claim(), claims.Start, claims.Send) && t.tries(r.name())
}

func (c *routeColumn) name() string { return c.route.name() }

// key is that of the column's request. It is the column's own, because a service
// without a prefix of keys may have one owner for all columns.
func (c *routeColumn) key() string { return "key-" + c.keys }

func (c *routeColumn) prefix() string        { return c.keys }
func (c *routeColumn) within() time.Duration { return c.Recovery }
func (c *routeColumn) persists() bool        { return c.route.commit }
func (c *routeColumn) expect(r Row) Expect   { return c.route.expect(r) }

// reply is what any route may answer.
type reply struct {
	status         int
	header         http.Header
	ConversationID string
	Messages       []struct{ Role, Text string }
	Conversations  []struct{ ConversationID string }
	PendingTurn    int
	Failures       []struct {
		Turn  int
		Class string
	}
	Class, Error string
	Status       any // of a problem a number, of a conversation and of health a word
	Retryable    bool
	Redis        string
	Store        struct{ LastError string } // of /health
	raw          string
}

// call asks the service.
func (c *routeColumn) call(ctx context.Context, method, path string, body any, key string) (reply, error) {
	var sent bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&sent).Encode(body); err != nil {
			return reply{}, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+strings.Replace(path, "{id}", c.id, 1), &sent)
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" && method == http.MethodPost {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	var raw bytes.Buffer
	if _, err := raw.ReadFrom(resp.Body); err != nil {
		return reply{}, err
	}
	r := reply{status: resp.StatusCode, header: resp.Header, raw: raw.String()}
	if raw.Len() > 0 {
		if err := json.Unmarshal(raw.Bytes(), &r); err != nil {
			return r, fmt.Errorf("status %d: %w", r.status, err)
		}
	}
	return r, nil
}

// must asks for something that has to succeed.
func (c *routeColumn) must(method, path string, body any, key string) (reply, error) {
	r, err := c.call(c.tb.Context(), method, path, body, key)
	if err == nil && r.status/100 != 2 {
		err = fmt.Errorf("%s %s: %d %s", method, path, r.status, r.Class)
		if r.status == http.StatusServiceUnavailable {
			err = fmt.Errorf("%s %s: %s %w", method, path, r.Class, errLate)
		}
	}
	return r, err
}

func (c *routeColumn) prepare() error {
	started, err := c.must("POST", "/api/chat/start", m{}, "")
	if err != nil {
		c.tries++ // it may have come through although it was told otherwise
		return err
	}
	c.id = started.ConversationID
	_, err = c.must("POST", "/api/chat/send", m{"conversationId": c.id, "text": "acknowledged"}, "")
	return err
}

func (c *routeColumn) approach() error {
	c.asked = c.agent.Count()
	if !c.route.commit {
		return nil
	}
	arrived := c.agent.Hold()
	c.answers = make(chan outcome, 1)
	go func() { c.answers <- c.ask(c.key()) }()
	select {
	case <-arrived:
		return nil
	case o := <-c.answers:
		c.agent.Release()
		c.answers <- o // for fire
		return fmt.Errorf("the agent was not asked: %d %s", o.status, o.class)
	}
}

func (c *routeColumn) fire() outcome {
	began := time.Now()
	if c.answers == nil {
		o := c.ask(c.key())
		o.took = time.Since(began)
		if n := c.agent.Count() - c.asked; o.class != "" && n != 0 && c.lacks.Has(claims.BeginsFirst) {
			o.fault = errors.Join(o.fault, breaks(claims.BeginsFirst, fmt.Errorf("the agent was asked %d times although the turn could not be begun", n)))
		}
		return o
	}
	c.agent.Release()
	o := <-c.answers
	o.took = time.Since(began)
	return o
}

// ask sends the column's request and reads what came against what every answer
// has to look like.
func (c *routeColumn) ask(key string) outcome {
	var body any
	if c.route.body != nil {
		body = c.route.body(c.id)
	}
	r, err := c.call(c.tb.Context(), c.route.method, c.route.path, body, key)
	c.got = r
	o := outcome{status: r.status, class: r.Class, fault: err}
	if err != nil || r.status/100 == 2 {
		if err != nil {
			o.class = noAnswer
		}
		return o
	}
	if o.class == "" {
		o.class = "none"
	}
	if !c.lacks.Has(claims.Classes) {
		o.class = statusClass(r.status)
	}
	o.fault = c.problem(r)
	return o
}

// noAnswer stands for the class of an answer that did not come.
const noAnswer = "no answer"

// problem says what is wrong with the form of a failure.
func (c *routeColumn) problem(r reply) error {
	var faults []error
	if c.lacks.Has(claims.Classes) && (r.status != statusOf(r.Class) || r.Error != r.Class) {
		faults = append(faults, breaks(claims.Told, fmt.Errorf("status %d, class %q, error %q", r.status, r.Class, r.Error)))
	}
	if c.lacks.Has(claims.Problems) && (r.Status != float64(r.status) || r.header.Get("Content-Type") != "application/problem+json") {
		faults = append(faults, breaks(claims.Problems, fmt.Errorf("not a whole problem: %s", r.raw)))
	}
	after, _ := strconv.Atoi(r.header.Get("Retry-After"))
	may := retryable(r.Class)
	if c.lacks.Has(claims.RetryAfter) && (r.Retryable != may || may && r.status == http.StatusServiceUnavailable && after < 1 || !may && after != 0) {
		faults = append(faults, breaks(claims.RetryAfter, fmt.Errorf("retryable %v, Retry-After %q", r.Retryable, r.header.Get("Retry-After"))))
	}
	if c.lacks.Has(claims.Discretion) && (strings.Contains(r.raw, "127.0.0.1") || strings.Contains(r.raw, c.keys)) {
		faults = append(faults, breaks(claims.Discretion, fmt.Errorf("gives something away: %s", r.raw)))
	}
	return errors.Join(faults...)
}

// sends is the request in words.
func (c *routeColumn) sends() string {
	if c.route.method == "" {
		return c.name()
	}
	sent := c.route.method + " " + c.route.path
	if c.route.body != nil {
		if body, err := json.Marshal(c.route.body("{id}")); err == nil {
			sent += " " + string(body)
		}
	}
	return sent
}

// works writes something new and leaves nothing: the agent's answer is what
// makes a conversation visible, so a start is needed all the same.
func (c *routeColumn) works() error {
	if c.lacks.Has(claims.Read) {
		if r, err := c.call(c.tb.Context(), "GET", "/api/chat/conversations/{id}", nil, ""); err != nil || r.status/100 != 2 && r.status != http.StatusNotFound {
			return errors.Join(err, fmt.Errorf("reading: %d %s", r.status, r.Class))
		}
	}
	c.tries++
	_, err := c.must("POST", "/api/chat/start", m{}, "try-"+strconv.Itoa(c.tries))
	return err
}

// verify repeats the request and looks at what is kept.
func (c *routeColumn) verify(fired outcome) error {
	if !c.lacks.Has(claims.Idempotency) && c.route.turn() {
		return c.keptAtLeast(fired)
	}
	before := c.agent.Count()
	o := c.ask(c.key())
	switch {
	case c.route.method == http.MethodDelete && o.status == http.StatusNotFound: // it had happened
	case o.class == "turn_conflict", o.class == statusClass(http.StatusConflict):
		return errHeld
	case o.status == http.StatusServiceUnavailable:
		return breaks(c.repeats(o), fmt.Errorf("the request again: %s %w", o.class, errLate))
	case o.class != "" || o.fault != nil && o.status/100 == 2:
		return breaks(c.repeats(o), fmt.Errorf("the request again: %d %s %w", o.status, o.class, o.fault))
	}
	if c.route.turn() {
		again := c.agent.Count() - before
		if fired.class == "" && (again != 0 || c.got.header.Get("Idempotency-Replayed") != "true") {
			return breaks(claims.Idempotency, fmt.Errorf("it had been answered, and the agent was asked %d times again", again))
		}
		if again > c.route.asks {
			return breaks(claims.Idempotency, fmt.Errorf("the agent was asked %d times for the repeat", again))
		}
	}
	return c.kept()
}
