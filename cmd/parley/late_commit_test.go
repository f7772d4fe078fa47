package main

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/store"
)

// lateEnd is an end of a turn that is stored late: an answer, or that there is none.
type lateEnd struct {
	text   string // what the user says
	method string // what stores it
	class  string // of the request
}

var lateEnds = map[string]lateEnd{
	"an answer": {"hello", "CompleteTurn", "store_unreachable"},
	"a failure": {"/status 500", "FailTurn", "upstream_error"},
}

// takesNone has the store take no ends of turns until it is told to.
func (w *watched) takesNone() (attempts *atomic.Int64, take func()) {
	attempts = new(atomic.Int64)
	var taken atomic.Bool
	end := func(context.Context) error {
		if attempts.Add(1); !taken.Load() {
			return &store.Error{Op: "test", Kind: store.ErrUnreachable}
		}
		return nil
	}
	w.store.complete, w.store.fail = end, end
	return attempts, func() { taken.Store(true) }
}

// briefly has a request wait for the store no longer than a test may.
func briefly(c *config, _ *seams) { c.redisTimeout = 50 * time.Millisecond }

// TEL-07: an end of a turn that is stored after its request is over is stored in the trace
// of that request: each attempt, and the line that says so. So whoever looks at the failure
// finds what became of the answer. That holds for an attempt of our own accord and for one
// that the conversation's next request asks for, in whose trace that one is seen as well.
func TestLateCommitBelongsToItsRequest(t *testing.T) {
	for what, late := range lateEnds {
		for name, asked := range map[string]bool{"of its own accord": false, "for the next request": true} {
			t.Run(what+" "+name, func(t *testing.T) {
				w := watch(t, "http/protobuf", briefly)
				id := w.start()
				attempts, take := w.takesNone()
				failed := w.send(id, late.text)
				if failed.Class != late.class || w.server.PendingCommits() != 1 {
					t.Fatalf("send: %d %s", failed.status, failed.body)
				}
				inRequest := attempts.Load()
				waitFor(t, func() bool { return attempts.Load() > inRequest }) // one fails late
				next := ""
				if asked {
					if a := w.send(id, "again"); a.status != http.StatusServiceUnavailable || a.Class != "store_unreachable" {
						t.Fatalf("the next request, too early: %d %s", a.status, a.body)
					} else {
						next = a.TraceID
					}
				}
				take()
				want := 0
				if asked {
					if a := w.send(id, "again"); a.status != http.StatusOK {
						t.Fatalf("the next request: %d %s", a.status, a.body)
					}
					want-- // the end of its own turn
				}
				waitFor(t, func() bool { return w.server.PendingCommits() == 0 })
				w.end()

				mine, red := 0, 0
				for _, s := range w.collector.named(late.method) {
					switch s.trace {
					case failed.TraceID:
						mine++
					case next:
						if s.attrs["error.type"] == "store_unreachable" && s.failed {
							red++
						}
					}
					if s.parent == "" {
						t.Errorf("an attempt in a trace of its own: %+v", s)
					}
				}
				if want += int(attempts.Load()); mine != want {
					t.Errorf("%d attempts are in the request's trace, want %d", mine, want)
				}
				if asked && red == 0 {
					t.Error("the trace of the next request does not show what failed")
				}
				line := lineOf(t, w.log.String(), "end of a turn stored late")
				if line.TraceID != failed.TraceID {
					t.Errorf("the line that says so is of trace %s, the request of %s", line.TraceID, failed.TraceID)
				}
			})
		}
	}
}

// However many ends of turns wait and however often each is tried, the guide's query for
// their class finds each request that failed, once, and nothing else; sampled or not.
func TestOneFailureIsOneResult(t *testing.T) {
	for _, sampler := range []string{"always_on", "always_off"} {
		t.Run(sampler, func(t *testing.T) {
			t.Setenv("OTEL_TRACES_SAMPLER", sampler)
			w := watch(t, "http/protobuf", briefly)
			ids := []string{w.start(), w.start(), w.start()}
			attempts, take := w.takesNone()
			want := map[string]bool{} // traces of requests that failed
			for _, id := range ids {
				for _, late := range lateEnds { // the second finds the end of the first waiting
					want[w.send(id, late.text).TraceID] = true
				}
			}
			before := attempts.Load()
			waitFor(t, func() bool { return attempts.Load() >= before+4 })
			take()
			waitFor(t, func() bool { return w.server.PendingCommits() == 0 })
			w.end()

			found, spans := map[string]bool{}, 0
			for _, s := range w.collector.spans {
				if s.parent == "" && s.kind != "SPAN_KIND_SERVER" {
					t.Errorf("a trace that is no request's: %+v", s)
				}
				if s.attrs["error.type"] == "store_unreachable" {
					found[s.trace] = true
					spans++
				}
			}
			if !maps.Equal(found, want) {
				t.Errorf("%d traces have the class, %d requests failed", len(found), len(want))
			}
			if spans < len(want)+4 {
				t.Errorf("only %d spans of attempts", spans)
			}
		})
	}
}

// loggedLine is what tests want to know of a line of the log.
type loggedLine struct {
	Msg     string
	TraceID string `json:"trace_id"`
}

// lineOf finds the one line of the log with a message.
func lineOf(t *testing.T, log, msg string) (found loggedLine) {
	t.Helper()
	n := 0
	for text := range strings.Lines(log) {
		var l loggedLine
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("not a line of JSON: %s", text)
		}
		if l.Msg == msg {
			found, n = l, n+1
		}
	}
	if n != 1 {
		t.Fatalf("%d lines say %q: %s", n, msg, log)
	}
	return found
}
