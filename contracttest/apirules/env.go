package apirules

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/contracttest/agenttest"
	"parley/contracttest/claims"
	"parley/contracttest/latency"
	"parley/contracttest/matrix"
)

const (
	// patience is the timeout of everything that is meant to succeed: no machine is so
	// slow that it passes.
	patience = 30 * time.Second
	// maxAnswer bounds what is read of an answer, in bytes.
	maxAnswer = 16 << 20
	// maxShown bounds what a failure shows of a body.
	maxShown = 2000
	// turnWait is how long the second of two turns is to wait for the first, where it is
	// not to be answered.
	turnWait = time.Second
	// moment is how long no answer may come to who has to wait.
	moment = 500 * time.Millisecond
	// ttl is what conversations get where time is moved. It is longer than any rule runs.
	ttl = time.Hour
)

// env is what a check works with: an agent, settings and helpers for the steps that
// many rules share.
type env struct {
	testing.TB
	s        Subject
	rule     Rule
	agent    *agenttest.Agent
	machine  *latency.Baseline
	wiring   Wiring
	instance Instance // the first that was started
	client   *http.Client
	token    string // of the caller; empty for none
}

func newEnv(tb testing.TB, s Subject, r Rule) *env {
	tb.Helper()
	transport := &http.Transport{}
	tb.Cleanup(transport.CloseIdleConnections)
	e := &env{TB: tb, s: s, rule: r, machine: latency.Watch(tb), client: &http.Client{Timeout: patience}}
	e.client.Transport = transport
	e.s.Bounds = s.Bounds.OrParleys()
	if s.Document != nil && s.Lacks.Has(claims.Schema) {
		e.client.Transport = s.Document.Transport(transport, func(err error) { tb.Errorf("%v", err) })
	}
	e.wiring.Settings = matrix.Settings{Prefix: uuid.NewString() + ":", Timeout: patience, AgentTimeout: patience}
	e.wiring.TTL, e.wiring.TurnWait = ttl, turnWait
	if s.Redis != nil {
		e.wiring.RedisURL = s.Redis.URL()
	}
	if !s.Fixed {
		e.agent = agenttest.Start(tb)
		e.wiring.AgentURL = e.agent.URL()
	}
	return e
}

// start starts the first instance, with what was changed of the wiring before.
func (e *env) start() {
	e.Helper()
	e.instance = e.s.Start(e, e.wiring)
}

// broken reports that the rule does not hold.
func (e *env) broken(format string, args ...any) {
	e.Helper()
	e.Fatalf("%s", fmt.Sprintf(format, args...))
}

func (e *env) must(err error) {
	e.Helper()
	if err != nil {
		e.broken("%v", err)
	}
}

// request is what is asked of an instance.
type request struct {
	method, path string
	body         any // encoded as JSON; nil for none, a string for a body as it is
	header       http.Header
}

type m map[string]any

// answer is what came.
type answer struct {
	status int
	header http.Header
	raw    string
	took   time.Duration

	ConversationID string
	Messages       []message
	Conversations  []struct{ ConversationID string }
	Class, Error   string
	Field          string
	Status         any // of a problem a number, of a conversation and of health a word
	Retryable      bool
	TraceID        string
	Redis          string
	Stopped        bool
	// Restarted is that the agent began a new conversation of its own.
	Restarted bool `json:"conversationRestarted"`
}

type message struct {
	ID, Role, Kind, Text string
	Turn                 int
	AgentError, TraceID  string
}

// String is the answer in a few words.
func (a answer) String() string {
	shown := a.raw
	if len(shown) > maxShown {
		shown = shown[:maxShown] + " …"
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", a.status, shown))
}

// ask asks the first instance.
func (e *env) ask(r request) answer {
	e.Helper()
	return e.askOf(e.instance, r)
}

// askOf asks an instance. Who gets no answer breaks the rule.
func (e *env) askOf(i Instance, r request) answer {
	e.Helper()
	a, err := e.try(e.Context(), i, r)
	if err != nil {
		e.broken("%s %s: no answer: %v", r.method, r.path, err)
	}
	return a
}

// try asks an instance from any goroutine.
func (e *env) try(ctx context.Context, i Instance, r request) (answer, error) {
	began := time.Now()
	resp, sent, err := e.send(ctx, i, r)
	if err != nil {
		e.saw(sent, err.Error())
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	a := answer{status: resp.StatusCode, header: resp.Header, raw: string(raw), took: time.Since(began)}
	e.saw(sent, a.String())
	if err == nil && strings.HasPrefix(a.raw, "{") {
		err = json.Unmarshal(raw, &a)
	}
	return a, err
}

// send sends a request, and gives it in words.
func (e *env) send(ctx context.Context, i Instance, r request) (resp *http.Response, sent string, err error) {
	var body bytes.Buffer
	switch b := r.body.(type) {
	case nil:
	case string:
		body.WriteString(b)
	default:
		if err := json.NewEncoder(&body).Encode(b); err != nil {
			return nil, "", err
		}
	}
	sent = r.method + " " + r.path
	if text := strings.TrimSpace(body.String()); text != "" {
		sent += " " + text[:min(len(text), maxShown)]
	}
	req, err := http.NewRequestWithContext(ctx, r.method, i.Base+r.path, &body)
	if err != nil {
		return nil, sent, err
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if e.token != "" {
		req.Header.Set("Authorization", "Bearer "+e.token)
	}
	for name, values := range r.header {
		req.Header[name] = values
		if name != "Authorization" {
			sent += fmt.Sprintf("\n%s: %s", name, strings.Join(values, ", "))
		}
	}
	resp, err = e.client.Do(req)
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // the address is another one each time
	}
	return resp, sent, err
}

func (e *env) saw(sent, came string) {
	if e.s.Saw != nil {
		e.s.Saw(sent, came)
	}
}

// ok asks for something that has to succeed.
func (e *env) ok(r request) answer {
	e.Helper()
	return e.okOf(e.instance, r)
}

func (e *env) okOf(i Instance, r request) answer {
	e.Helper()
	a := e.askOf(i, r)
	if a.status/100 != 2 {
		e.broken("%s %s: %s", r.method, r.path, a)
	}
	return a
}

// refused holds an answer against the status and, where classes are claimed, the
// class of a failure.
func (e *env) refused(a answer, status int, class string) {
	e.Helper()
	if a.status != status {
		e.broken("status %d, want %d: %s", a.status, status, a)
	}
	if e.s.Lacks.Has(claims.Classes) && (a.Class != class || a.Error != class) {
		e.broken("class %q and error %q, want %q: %s", a.Class, a.Error, class, a)
	}
	if e.s.Lacks.Has(claims.Problems) && (a.header.Get("Content-Type") != "application/problem+json" || a.Status != float64(status)) {
		e.broken("it is not a whole problem: %s", a)
	}
}

// The requests.

func starting() request {
	return request{method: "POST", path: "/api/chat/start", body: m{}}
}

func sending(id, text string) request {
	return request{method: "POST", path: "/api/chat/send", body: m{"conversationId": id, "text": text}}
}

func submitting(id string) request {
	return request{method: "POST", path: "/api/chat/card-action", body: m{
		"conversationId": id, "cardId": "card", "userSummary": "a summary", "submitData": m{"action": "Action.Submit", "size": 2},
	}}
}

func orchestrating() request {
	return request{method: "POST", path: "/api/chat/orchestrate", body: m{"query": "a query"}}
}

func listing() request { return request{method: "GET", path: "/api/chat/conversations"} }

func reading(id string) request {
	return request{method: "GET", path: "/api/chat/conversations/" + id}
}

func closing(id string) request {
	return request{method: "PATCH", path: "/api/chat/conversations/" + id, body: m{"status": "completed"}}
}

func deleting(id string) request {
	return request{method: "DELETE", path: "/api/chat/conversations/" + id}
}

// with adds a header.
func (r request) with(name, value string) request {
	r.header = r.header.Clone()
	if r.header == nil {
		r.header = http.Header{}
	}
	r.header.Set(name, value)
	return r
}

// begin starts a conversation and gives its id.
func (e *env) begin() string {
	e.Helper()
	a := e.ok(starting())
	if _, err := uuid.Parse(a.ConversationID); err != nil {
		e.broken("conversationId is no UUID: %s", a)
	}
	return a.ConversationID
}

// said are the texts of messages, in order, each with its role.
func said(messages []message) string {
	var all []string
	for _, m := range messages {
		all = append(all, m.Role+": "+m.Text)
	}
	return strings.Join(all, " | ")
}

// roles are the roles of messages, in order.
func roles(messages []message) string {
	var all []string
	for _, m := range messages {
		all = append(all, m.Role)
	}
	return strings.Join(all, " ")
}

// within is a bound for an answer on the machine as it is.
func (e *env) within(bound time.Duration) time.Duration { return bound + 5*e.machine.Max() }

// nobody is an id that no conversation has.
func nobody() string { return uuid.NewString() }
