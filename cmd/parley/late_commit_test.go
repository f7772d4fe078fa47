package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/store"
)

// TEL-07: an answer that is stored after its request is over is stored in the trace of that
// request: each attempt, and the line that says so. So whoever looks at the 503 finds
// what became of the answer. That holds for an attempt of our own accord and for one
// that the conversation's next request asks for.
func TestLateCommitBelongsToItsRequest(t *testing.T) {
	for name, next := range map[string]func(w *watched, id string) (trace string){
		"of its own accord": func(w *watched, _ string) string {
			waitFor(w.t, func() bool { return w.server.PendingCommits() == 0 })
			return ""
		},
		"for the next request": func(w *watched, id string) string {
			a := w.send(id, "again")
			if a.status != http.StatusOK {
				w.t.Fatalf("the next request: %d %s", a.status, a.body)
			}
			return traceOfAnswer(a)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := watch(t, "http/protobuf", func(c *config, _ *seams) { c.redisTimeout = 50 * time.Millisecond })
			id := w.start()
			var attempts atomic.Int64
			var away atomic.Bool
			away.Store(true)
			w.store.complete = func(context.Context) error {
				if attempts.Add(1); away.Load() {
					return &store.Error{Op: "CompleteTurn", Kind: store.ErrUnreachable}
				}
				return nil
			}
			failed := w.send(id, "hello")
			if failed.status != http.StatusServiceUnavailable || w.server.PendingCommits() != 1 {
				t.Fatalf("send: %d %s", failed.status, failed.body)
			}
			inRequest := attempts.Load()
			waitFor(t, func() bool { return attempts.Load() > inRequest }) // one fails late
			away.Store(false)
			other := next(w, id)
			w.end()

			mine, want := 0, int(attempts.Load())
			if other != "" {
				want-- // the one of its own
			}
			for _, s := range w.collector.named("CompleteTurn") {
				if s.parent == "" {
					t.Errorf("an attempt in a trace of its own: %+v", s)
				}
				if s.trace == failed.TraceID {
					mine++
				}
			}
			if mine != want {
				t.Errorf("%d attempts are in the request's trace, want %d", mine, want)
			}
			line := lineOf(t, w.log.String(), "end of a turn stored late")
			if line.TraceID != failed.TraceID {
				t.Errorf("the line that says so is of trace %s, the request of %s", line.TraceID, failed.TraceID)
			}
		})
	}
}

// traceOfAnswer is the trace that an answer names.
func traceOfAnswer(a told) string { return strings.Split(a.header.Get("Traceparent"), "-")[1] }

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
