package server

import (
	"bufio"
	"context"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"parley/server/copilot"
)

// event is one event of a stream, "" with a text for a comment.
type event struct{ name, data string }

// parseEvents reads a whole stream.
func parseEvents(t *testing.T, body io.Reader) []event {
	t.Helper()
	var all []event
	for r := bufio.NewReader(body); ; {
		e, err := nextEvent(r)
		if err != nil {
			return all
		}
		all = append(all, e)
	}
}

// nextEvent reads one event or comment.
func nextEvent(r *bufio.Reader) (e event, err error) {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return e, err
		}
		line = strings.TrimSuffix(line, "\n")
		if name, ok := strings.CutPrefix(line, "event: "); ok {
			e.name = name
		} else if data, ok := strings.CutPrefix(line, "data: "); ok {
			e.data = data
		} else if strings.HasPrefix(line, ":") {
			e.data = line
		} else if line == "" {
			return e, nil
		}
	}
}

func names(all []event) string {
	var out []string
	for _, e := range all {
		out = append(out, e.name)
	}
	return strings.Join(out, " ")
}

func streamed(c call) call { return c.with("Accept", "text/event-stream") }

// stepping makes an agent that yields what it is given, one by one, until the
// channel is closed.
func stepping() (*fakeAgent, chan copilot.Event) {
	steps := make(chan copilot.Event)
	return &fakeAgent{turn: func(_ context.Context, t copilot.Turn) iter.Seq2[copilot.Event, error] {
		return func(yield func(copilot.Event, error) bool) {
			if !yield(accepted(t), nil) {
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

func writes(stream, text string) copilot.Event {
	return copilot.Event{Kind: copilot.EventDelta, StreamID: stream, Text: text}
}

// live serves a world over a real connection.
func (w *world) live() *httptest.Server {
	web := httptest.NewServer(w.server)
	w.t.Cleanup(web.Close)
	return web
}

// heard is an answer that may still be coming.
type heard struct {
	status int
	header http.Header
	body   *bufio.Reader
	resp   *http.Response
}

// ask carries a request out over a connection. The answer's body is closed with
// the test.
func (c call) ask(ctx context.Context, t testing.TB, base string) heard {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, c.Method, base+c.Path, strings.NewReader(c.Body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range c.Headers {
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return heard{resp.StatusCode, resp.Header, bufio.NewReader(resp.Body), resp}
}
