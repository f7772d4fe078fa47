package server

import (
	"context"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tmaxmax/go-sse"

	"parley/contracttest/apispec"
	"parley/server/copilot"
)

// eventReader reads the events of a stream one by one. Comments are not events.
type eventReader struct {
	t    *testing.T
	next func() (sse.Event, error, bool)
}

// readEvents makes an eventReader that lasts as long as the test.
func readEvents(t *testing.T, stream io.Reader) *eventReader {
	t.Helper()
	next, stop := iter.Pull2(apispec.Events(stream))
	t.Cleanup(stop)
	return &eventReader{t, next}
}

// one waits for the next event; a stream that ends before it fails the test.
func (r *eventReader) one() sse.Event {
	r.t.Helper()
	e, err, ok := r.next()
	if err != nil || !ok {
		r.t.Fatalf("the stream ends without an event: %v", err)
	}
	return e
}

// rest reads the stream to its end.
func (r *eventReader) rest() []sse.Event {
	r.t.Helper()
	var all []sse.Event
	for {
		e, err, ok := r.next()
		if err != nil {
			r.t.Fatal(err)
		}
		if !ok {
			return all
		}
		all = append(all, e)
	}
}

// parseEvents reads a whole stream.
func parseEvents(t *testing.T, stream io.Reader) []sse.Event {
	t.Helper()
	return readEvents(t, stream).rest()
}

func names(all []sse.Event) string {
	var out []string
	for _, e := range all {
		out = append(out, e.Type)
	}
	return strings.Join(out, " ")
}

func asStream(c call) call { return c.with("Accept", "text/event-stream") }

// steppedAgent makes an agent that yields what it is given, one by one, until the
// channel is closed.
func steppedAgent() (*fakeAgent, chan copilot.Event) {
	steps := make(chan copilot.Event)
	return &fakeAgent{turn: func(_ context.Context, t copilot.Turn) iter.Seq2[copilot.Event, error] {
		return func(yield func(copilot.Event, error) bool) {
			if !yield(conversationEvent(t), nil) {
				return
			}
			for e := range steps {
				if e.Kind == 0 {
					yield(copilot.Event{}, &copilot.Error{Op: "turn", Kind: copilot.ErrInterrupted})
					return
				}
				if !yield(e, nil) {
					return
				}
			}
		}
	}}, steps
}

func deltaEvent(stream, text string) copilot.Event {
	return copilot.Event{Kind: copilot.EventDelta, StreamID: stream, Text: text}
}

// serve serves the API over a real connection.
func (w *harness) serve() *httptest.Server {
	web := httptest.NewServer(w.server)
	w.t.Cleanup(web.Close)
	return web
}

// incoming is an answer that may still be coming. It is closed with the test.
type incoming struct {
	StatusCode      int
	Header, Trailer http.Header
	Body            io.Reader
}

// sendTo sends a request over a connection.
func (c call) sendTo(ctx context.Context, t testing.TB, base string) incoming {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, c.Method, base+c.Path, strings.NewReader(c.Body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range c.Headers {
		r.Header.Set(name, value)
	}
	resp, err := (&http.Client{Transport: checked(t)}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return incoming{resp.StatusCode, resp.Header, resp.Trailer, resp.Body}
}
