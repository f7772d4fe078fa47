package telemetry_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"parley/server/copilot"
	"parley/store"
	"parley/telemetry"
)

// scripted is an agent that yields what it is told to.
type scripted struct {
	events []copilot.Event
	err    error
	boom   bool
}

func (a scripted) Start(context.Context, copilot.Start) iter.Seq2[copilot.Event, error] {
	return func(yield func(copilot.Event, error) bool) {
		for _, e := range a.events {
			if !yield(e, nil) {
				return
			}
		}
		if a.boom {
			panic("boom")
		}
		if a.err != nil {
			yield(copilot.Event{}, a.err)
		}
	}
}

func (a scripted) Turn(ctx context.Context, _ copilot.Turn) iter.Seq2[copilot.Event, error] {
	return a.Start(ctx, copilot.Start{})
}

// The span of a stream ends with it, once, on every path.
func TestStreamsEnd(t *testing.T) {
	two := []copilot.Event{{Kind: copilot.EventConversation, ConversationID: "c-1"}, {Kind: copilot.EventEnded}}
	for name, c := range map[string]struct {
		agent   scripted
		stop    bool   // the caller leaves the loop
		cause   error  // why the caller's context is done
		class   string // on the span, a failure
		outcome string // on the span, no failure of the agent
		events  int64
	}{
		"to its end":       {agent: scripted{events: two}, events: 1},
		"left early":       {agent: scripted{events: two}, stop: true},
		"failed":           {agent: scripted{events: two, err: &copilot.Error{Kind: copilot.ErrServer}}, class: "internal", events: 1},
		"panicked":         {agent: scripted{events: two, boom: true}, class: "panic", events: 1},
		"client left":      {agent: scripted{err: &copilot.Error{Kind: copilot.ErrInterrupted}}, cause: errLeft, outcome: "client_canceled"},
		"turn lost":        {agent: scripted{err: &copilot.Error{Kind: copilot.ErrInterrupted}}, cause: store.ErrNotFound, outcome: "not_found"},
		"ended on purpose": {agent: scripted{err: &copilot.Error{Kind: copilot.ErrInterrupted}}, cause: errors.New("stop"), class: "internal"},
		"never began":      {},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			if c.cause != nil {
				cancel(c.cause)
			}
			func() {
				defer func() { _ = recover() }()
				for _, err := range l.Agent(c.agent, "https://agent.example/x?token=t").Turn(ctx, copilot.Turn{}) {
					if err != nil || c.stop {
						break
					}
				}
			}()
			spans := l.spans.Ended()
			if len(spans) != 1 || len(l.spans.Started()) != 1 {
				t.Fatalf("%d spans", len(spans))
			}
			s := spans[0]
			if s.Name() != "invoke_agent" || attr(s, "error.type").AsString() != c.class || attr(s, "parley.outcome").AsString() != c.outcome || attr(s, "parley.stream.events").AsInt64() != c.events {
				t.Errorf("%s %v", s.Name(), s.Attributes())
			}
			if attr(s, "server.address").AsString() != "agent.example" || attr(s, "server.port").AsInt64() != 443 {
				t.Errorf("address: %v", s.Attributes())
			}
			if n := len(s.Events()); n > 2 {
				t.Errorf("%d span events", n)
			}
			if l.measured(t, "parley.agent.duration") != 1 {
				t.Error("not measured once")
			}
		})
	}
}

// send makes one request through an observed transport and reads its answer.
func send(t *testing.T, l *lab, url string, next http.RoundTripper) (*http.Request, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := l.Transport(next).RoundTrip(req)
	if err != nil {
		return req, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return req, err
}

func only(t *testing.T, l *lab) sdktrace.ReadOnlySpan {
	t.Helper()
	spans := l.spans.Ended()
	if len(spans) != 1 || len(l.spans.Started()) != 1 {
		t.Fatalf("%d spans", len(spans))
	}
	return spans[0]
}

// A body that breaks after a 200 is a failure of the request, and the duration
// includes the body.
func TestTransport(t *testing.T) {
	var got http.Header
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		switch r.URL.Path {
		case "/cut":
			_, _ = w.Write([]byte("half"))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case "/429":
			w.WriteHeader(http.StatusTooManyRequests)
		}
	}))
	defer web.Close()
	next := copilot.NewTransport()
	defer next.CloseIdleConnections()
	for path, want := range map[string]struct {
		class  string
		failed bool
	}{"/ok": {}, "/429": {"429", true}, "/cut": {"internal", true}} {
		l := newLab(t)
		req, _ := send(t, l, web.URL+path+"?token=secret", next)
		s := only(t, l)
		if attr(s, "error.type").AsString() != want.class || (s.Status().Code == codes.Error) != want.failed {
			t.Errorf("%s: %v %v", path, s.Attributes(), s.Status())
		}
		if full := attr(s, "url.full").AsString(); full != web.URL+path {
			t.Errorf("url.full is %s", full)
		}
		if tp := got.Get("Traceparent"); !strings.Contains(tp, s.SpanContext().SpanID().String()) {
			t.Errorf("traceparent sent is %q", tp)
		}
		if req.Header.Get("Traceparent") != "" {
			t.Error("the caller's request was changed")
		}
		if l.measured(t, "http.client.request.duration") != 1 {
			t.Error("not measured once")
		}
	}
	l := newLab(t)
	web.Close()
	if _, err := send(t, l, web.URL, next); err == nil {
		t.Fatal("a closed server answered")
	}
	if s := only(t, l); attr(s, "error.type").AsString() != "internal" || s.Status().Code != codes.Error || s.Status().Description != "" {
		t.Errorf("refused: %v %v", s.Attributes(), s.Status())
	}
}

// A handler that ends without calling Done counts as a panic and is recorded.
func TestHandlerThatNeverSaid(t *testing.T) {
	l := newLab(t)
	func() {
		defer func() { _ = recover() }()
		l.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("user text") })).
			ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil))
	}()
	s := only(t, l)
	if s.Name() != "GET" || attr(s, "parley.outcome").AsString() != "panic" || attr(s, "http.response.status_code").AsInt64() != 0 || len(s.Events()) != 0 {
		t.Errorf("%s %v %v", s.Name(), s.Attributes(), s.Events())
	}
	if l.measured(t, "http.server.request.duration") != 1 {
		t.Error("not measured")
	}
}

// An attempt that failed has the status Error. The call has not, when its second
// attempt succeeded.
func TestStoreAttempts(t *testing.T) {
	l := newLab(t)
	s := l.Store(retrying{l: l}, telemetry.StoreOptions{
		System: "redis", Address: "cache.example", Port: 6380, Namespace: "0",
		Operation: func(string) (string, string) { return "PIPELINE", "" },
	})
	if _, err := s.List(t.Context(), owner, page); err != nil {
		t.Fatal(err)
	}
	spans := l.spans.Ended()
	if len(spans) != 2 {
		t.Fatalf("%d spans", len(spans))
	}
	try, call := spans[0], spans[1]
	if try.Parent().SpanID() != call.SpanContext().SpanID() || attr(try, "error.type").AsString() != "store_unreachable" || try.Status().Code != codes.Error {
		t.Errorf("try: %v %v", try.Attributes(), try.Status())
	}
	if call.Name() != "PIPELINE" || attr(call, "error.type").AsString() != "" || call.Status().Code != codes.Unset || attr(call, "network.peer.address").AsString() != "10.0.0.2" {
		t.Errorf("call: %s %v %v", call.Name(), call.Attributes(), call.Status())
	}
}
