package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"parley/server/copilot"
	"parley/server/turn"
	"parley/store"
)

// spoilt is an answer that goes wrong after it has begun.
type spoilt struct {
	call   call // ID stands for the conversation
	agent  *fakeAgent
	stored error // of CompleteTurn
	// handle stands for the route's own handler; nil for that.
	handle func(http.ResponseWriter, *http.Request) error
	taken  int32                       // so many writes are taken, and no more; 0 for all, -1 for none
	first  func(w *harness, id string) // before the request
	then   func(w *harness)            // when the headers have come

	class  string // in the log
	events string // names of the stream's events
	cut    bool   // the client sees that the answer is not whole
}

type yield = func(copilot.Event, error) bool

// saying gives an answer that says one thing, and then does the rest.
func saying(ctx context.Context, id string, rest func(context.Context, yield)) iter.Seq2[copilot.Event, error] {
	return func(y func(copilot.Event, error) bool) {
		if y(copilot.Event{Kind: copilot.EventConversation, ConversationID: id}, nil) && y(messageEvent(copilot.Message{ID: "a", Text: "one"}), nil) && rest != nil {
			rest(ctx, y)
		}
	}
}

// inTurns makes an agent that answers so in every turn, and inGreetings one that greets so.
func inTurns(rest func(context.Context, yield)) *fakeAgent {
	return &fakeAgent{turn: func(ctx context.Context, t copilot.Turn) iter.Seq2[copilot.Event, error] {
		return saying(ctx, t.ConversationID, rest)
	}}
}

func inGreetings(rest func(context.Context, yield)) *fakeAgent {
	return &fakeAgent{start: func(ctx context.Context, _ copilot.Start) iter.Seq2[copilot.Event, error] {
		return saying(ctx, "up", rest)
	}}
}

var errAgentBroke = &copilot.Error{Op: "turn", Kind: copilot.ErrInterrupted}

func breaks(_ context.Context, y yield) { y(copilot.Event{}, errAgentBroke) }

func waits(ctx context.Context, y yield) {
	<-ctx.Done()
	y(copilot.Event{}, errAgentBroke)
}

// streams is a handler that begins a stream, and then ends so.
func streams(end func() error) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		newEventStream(w).event(eventMessage, struct{}{})
		return end()
	}
}

func panics() error { panic("oh") }

func spoiltAnswers() map[string]spoilt {
	sends, submits, starts := asStream(send("ID", "a")), asStream(post("/api/chat/card-action", cardBody)), asStream(post("/api/chat/start", "{}"))
	resumes := get("/api/chat/conversations/ID/stream")
	stepped, steps := steppedAgent()
	return map[string]spoilt{
		"send, the agent fails":        {call: sends, agent: inTurns(breaks), class: "upstream_interrupted", events: "message error"},
		"card-action, the agent fails": {call: submits, agent: inTurns(breaks), class: "upstream_interrupted", events: "message error"},
		"start, the agent fails":       {call: starts, agent: inGreetings(breaks), class: "upstream_interrupted", events: "message error"},
		"the agent's client panics":    {call: sends, agent: inTurns(func(context.Context, yield) { panic("oh") }), class: classPanic, events: "message error"},
		"the answer cannot be stored":  {call: sends, agent: inTurns(nil), stored: &store.Error{Op: "CompleteTurn", Kind: store.ErrCorrupt}, class: "store_corrupt", events: "message error"},
		"the service stops":            {call: sends, agent: inTurns(waits), then: (*harness).stopNow, class: "shutting_down", events: "message error"},
		"an event cannot be encoded": {call: sends, handle: func(w http.ResponseWriter, r *http.Request) error {
			out := newEventStream(w)
			out.event(eventMessage, struct{}{})
			out.event(eventMessage, func() {})
			return endStream(out, r, turn.Answer{}, nil)
		}, class: classInternal, events: "message", cut: true},
		"the first event is not taken":  {call: sends, agent: inTurns(nil), taken: -1, cut: true},
		"the last event is not taken":   {call: sends, agent: inTurns(nil), taken: 1, events: "message", cut: true},
		"the failure is not taken":      {call: sends, agent: inTurns(breaks), taken: 1, class: "upstream_interrupted", events: "message", cut: true},
		"nor is what came before it":    {call: sends, agent: inTurns(breaks), taken: -1, class: "upstream_interrupted", cut: true},
		"a plain answer is not taken":   {call: send("ID", "a"), agent: inTurns(nil), taken: -1, cut: true},
		"a problem is not taken":        {call: send("ID", "a"), agent: inTurns(breaks), taken: -1, class: "upstream_interrupted", cut: true},
		"a file is not taken":           {call: get("/openapi.yaml"), taken: -1, cut: true},
		"a handler panics in a stream":  {call: sends, handle: streams(panics), class: classPanic, events: "message", cut: true},
		"a handler fails in a stream":   {call: sends, handle: streams(func() error { return errAgentBroke }), class: "upstream_interrupted", events: "message", cut: true},
		"a handler fails after headers": {call: sends, handle: func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(200); return errAgentBroke }, class: "upstream_interrupted", cut: true},
		"a handler panics after it all": {call: sends, handle: func(w http.ResponseWriter, r *http.Request) error {
			_ = respond(w, r, 200, struct{}{})
			panic("oh")
		}, class: classPanic},
		"a resumed stream, the agent fails": {
			call: resumes, agent: stepped, first: func(w *harness, id string) {
				w.async(w.t.Context(), send(id, "a"))
				steps <- messageEvent(copilot.Message{ID: "a", Text: "one"})
			},
			then: func(*harness) { steps <- copilot.Event{} }, class: "upstream_interrupted", events: "message error",
		},
	}
}

// stopNow ends the turns that run.
func (w *harness) stopNow() {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	_ = w.server.Shutdown(over)
}

// failing takes so many writes and refuses all that follow.
type failing struct {
	http.ResponseWriter
	left atomic.Int32
}

func (f *failing) Write(b []byte) (int, error) {
	if f.left.Add(-1) < 0 {
		return 0, errors.New("i/o timeout")
	}
	return f.ResponseWriter.Write(b)
}

func (f *failing) Unwrap() http.ResponseWriter { return f.ResponseWriter }

// Once a part of an answer is out, nothing is written that does not belong to it: a
// failure is the last event of the stream, or the connection is cut. Never a second
// status, and never a problem body behind something else.
func TestNothingFollowsWhatWasWritten(t *testing.T) {
	for _, version := range []int{1, 2} {
		for name, c := range spoiltAnswers() {
			t.Run(fmt.Sprintf("HTTP %d/%s", version, name), func(t *testing.T) { c.check(t, version) })
		}
	}
}

func (c spoilt) check(t *testing.T, version int) {
	w := newHarness(t, c.agent)
	id := ""
	if c.agent == nil || c.agent.start == nil {
		id = w.start()
	}
	if c.stored != nil {
		w.store.failOn("CompleteTurn", c.stored)
	}
	if c.first != nil {
		c.first(w, id)
	}
	var handler http.Handler = w.server
	if c.handle != nil {
		handler = w.server.adapter.adapt(route{method: c.call.Method, pattern: c.call.Path, handle: c.handle})
	}
	complaints := &lockedBuffer{}
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if c.taken != 0 {
			f := &failing{ResponseWriter: rw}
			f.left.Store(max(0, c.taken))
			rw = f
		}
		handler.ServeHTTP(rw, r)
	}))
	web.Config.ErrorLog = log.New(complaints, "", 0)
	web.Config.Protocols = new(http.Protocols)
	web.Config.Protocols.SetHTTP1(version == 1)
	web.Config.Protocols.SetUnencryptedHTTP2(version == 2)
	web.Start()
	t.Cleanup(web.Close)
	client := &http.Client{Transport: &http.Transport{Protocols: web.Config.Protocols}}
	t.Cleanup(client.CloseIdleConnections)

	body, closes, err := c.ask(t, client, web.URL, id, w)
	if (err != nil) != c.cut {
		t.Errorf("the answer ended with %v: %q", err, body)
	}
	stream, rest := body, ""
	if i := strings.LastIndex(body, "\n\n"); i >= 0 {
		stream, rest = body[:i+2], body[i+2:]
	}
	if got := names(parseEvents(t, strings.NewReader(stream))); got != c.events || c.events != "" && rest != "" {
		t.Errorf("events %q, want %q, and behind them %q", got, c.events, rest)
	}
	client.CloseIdleConnections()
	web.Close() // waits for the handler
	if said := complaints.String(); said != "" {
		t.Errorf("the HTTP server complains: %s", said)
	}
	if d := w.lastDone(); d.Class != c.class {
		t.Errorf("done %+v", d)
	}
	if !c.cut && closes {
		t.Error("the connection cannot be used again")
	}
}

// ask sends the request and reads the answer, as far as it comes. closes says that the
// connection will not be used again.
func (c spoilt) ask(t *testing.T, client *http.Client, base, id string, w *harness) (body string, closes bool, err error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), c.call.Method, base+strings.Replace(c.call.Path, "ID", id, 1), strings.NewReader(strings.Replace(c.call.Body, "ID", id, 1)))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range c.call.Headers {
		r.Header.Set(name, value)
	}
	resp, err := client.Do(r)
	if err != nil {
		return "", false, err
	}
	defer func() { _ = resp.Body.Close() }()
	if c.then != nil {
		c.then(w)
	}
	read, err := io.ReadAll(resp.Body)
	return string(read), resp.Close, err
}

// A client that has left is sent no status. One that closed only its own half of the
// connection sees that there is no answer.
func TestNothingIsSentToWhoHasLeft(t *testing.T) {
	w := newHarness(t, nil)
	waits := func(_ http.ResponseWriter, r *http.Request) error {
		<-r.Context().Done()
		return r.Context().Err()
	}
	web := httptest.NewServer(w.server.adapter.adapt(route{method: "GET", pattern: "/x", handle: waits}))
	t.Cleanup(web.Close)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if half, ok := conn.(*net.TCPConn); !ok || half.CloseWrite() != nil {
		t.Fatal("cannot close one half")
	}
	if sent, err := io.ReadAll(conn); err != nil || len(sent) > 0 {
		t.Errorf("%v, sent %q", err, sent)
	}
	if d := w.lastDone(); d.Class != classClientCanceled || d.Status != 0 {
		t.Errorf("done %+v", d)
	}
	if !strings.Contains(w.logs.String(), `"status":499`) {
		t.Errorf("log: %s", w.logs)
	}
}
