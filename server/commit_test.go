package server

import (
	"context"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/server/copilot"
	"parley/server/turn"
	"parley/store"
)

var (
	errAway  = &store.Error{Op: "test", Kind: store.ErrUnreachable}
	commitIn = time.Second
)

// newTimedHarness makes a harness on the real clock, with a commit timeout of one second.
func newTimedHarness(t *testing.T, agent *fakeAgent, change ...func(*Config)) *harness {
	return newHarness(t, agent, append(change, func(c *Config) { c.Now, c.CommitTimeout = time.Now, commitIn })...)
}

// waitUntilStored waits until nothing waits to be stored.
func (w *harness) waitUntilStored() {
	w.t.Helper()
	deadline, tick := time.After(time.Minute), time.Tick(10*time.Millisecond)
	for w.server.PendingCommits() > 0 {
		select {
		case <-tick:
		case <-deadline:
			w.t.Fatalf("%d still wait", w.server.PendingCommits())
		}
	}
}

// A store that is away for less than the request's time costs the client nothing
// but time.
func TestBlinkInsideTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTimedHarness(t, nil)
		id := w.start()
		w.store.failOn("CompleteTurn", errAway)
		back := time.AfterFunc(commitIn/2, func() { w.store.failOn("CompleteTurn", nil) })
		defer back.Stop()
		w.must(200, send(id, "x"))
		if n := w.server.PendingCommits(); n != 0 || w.agent.asked() != 2 {
			t.Errorf("%d wait, the agent was asked %d times", n, w.agent.asked())
		}
	})
}

// A failed commit is told by what kept it from being stored, and not by how the last
// attempt ran out of the time that was left.
func TestCauseOfAFailedCommit(t *testing.T) {
	for name, last := range map[string]error{"no answer": store.ErrTimeout, "no processor": store.ErrOverloaded} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTimedHarness(t, nil)
				id := w.start()
				w.store.failOn("CompleteTurn", errAway)
				later := time.AfterFunc(commitIn/2, func() { w.store.failOn("CompleteTurn", &store.Error{Op: "CompleteTurn", Kind: last}) })
				defer later.Stop()
				if w.must(503, send(id, "x")); w.lastDone().Class != "store_unreachable" {
					t.Errorf("the class is %q", w.lastDone().Class)
				}
				w.store.failOn("CompleteTurn", nil)
				w.waitUntilStored()
			})
		})
	}
}

// A start whose conversation the store lost may be repeated. Its answer does not
// wait to be stored, which cannot come to pass.
func TestLostStart(t *testing.T) {
	for _, c := range []call{
		post("/api/chat/start", "{}").with("Idempotency-Key", "k"),
		post("/api/chat/orchestrate", `{"query":"x"}`).with("Idempotency-Key", "k"),
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newTimedHarness(t, nil)
			w.store.failOn("CompleteTurn", &store.Error{Op: "CompleteTurn", Kind: store.ErrLost})
			rec := w.must(503, c)
			if n := w.server.PendingCommits(); n != 0 || rec.Header().Get("Retry-After") == "" || w.lastDone().Class != "store_lost" {
				t.Errorf("%d wait, done %+v, %v", n, w.lastDone(), rec.Header())
			}
		})
	}
}

// An answer that could not be stored in time is told to nobody until it is
// stored; then the same request gets it, and the agent was asked once.
func TestOutageAtTheCommit(t *testing.T) {
	for name, kind := range map[string]error{"unreachable": store.ErrUnreachable, "not retryable": store.ErrAuth} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTimedHarness(t, nil)
				id := w.start()
				w.store.failOn("CompleteTurn", &store.Error{Op: "CompleteTurn", Kind: kind})
				c := send(id, "hello").with("Idempotency-Key", "k")
				began := time.Now()
				rec := w.must(503, c)
				if took := time.Since(began); took > commitIn || w.server.PendingCommits() != 1 {
					t.Errorf("after %v, %d wait: %s", took, w.server.PendingCommits(), rec.Body)
				}
				for range 5 {
					time.Sleep(time.Second)
					w.store.resetCalls()
					w.must(503, c)
					w.must(503, send(id, "something else"))
					if slices.Contains(w.store.callNames(), "BeginTurn") {
						t.Error("a turn began before the last one was stored")
					}
					if h := w.history(id); len(h.Messages) != 2 || h.PendingTurn != 1 {
						t.Errorf("what was not stored is told: %+v", h)
					}
				}
				w.store.failOn("CompleteTurn", nil)
				rec = w.must(200, c)
				if rec.Header().Get("Idempotency-Replayed") != "true" || !strings.Contains(rec.Body.String(), "You said: hello") {
					t.Errorf("%v %s", rec.Header(), rec.Body)
				}
				if h := w.history(id); len(h.Messages) != 3 || h.Turns != 1 || w.agent.asked() != 2 || w.server.PendingCommits() != 0 {
					t.Errorf("stored %+v, asked %d times", h, w.agent.asked())
				}
			})
		})
	}
}

// Without a key, the same text after such a 503 is the same question, whoever
// stored its answer meanwhile, and stays it while the answer may have been lost on
// its way again; after that it is a new one.
func TestOutageWithoutAKey(t *testing.T) {
	for name, wait := range map[string]time.Duration{"stored by the repeat": 0, "stored before": time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTimedHarness(t, nil)
				id := w.start()
				w.store.failOn("CompleteTurn", errAway)
				w.must(503, send(id, "yes"))
				w.store.failOn("CompleteTurn", nil)
				time.Sleep(wait)
				for range 2 {
					rec := w.must(200, send(id, "yes"))
					if h := w.history(id); len(h.Messages) != 3 || w.agent.asked() != 2 || rec.Header().Get("Idempotency-Replayed") != "true" {
						t.Errorf("asked %d times, stored %+v", w.agent.asked(), h)
					}
				}
				time.Sleep(store.HearingTime)
				w.must(200, send(id, "yes"))
				if h := w.history(id); h.Turns != 2 || len(h.Messages) != 5 || w.agent.asked() != 3 {
					t.Errorf("asked %d times, stored %+v", w.agent.asked(), h)
				}
			})
		})
	}
}

// What waits is stored when the store is back, whether or not anybody asks.
func TestWhatWaitsIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTimedHarness(t, nil)
		w.store.failOn("CompleteTurn", errAway)
		w.must(503, post("/api/chat/start", "{}").with("Idempotency-Key", "s"))
		w.store.failOn("CompleteTurn", nil)
		var ids []string
		for range 3 {
			ids = append(ids, w.start())
		}
		w.store.failOn("CompleteTurn", errAway)
		for _, id := range ids {
			w.must(503, send(id, "x"))
		}
		time.Sleep(time.Minute)
		w.store.failOn("CompleteTurn", nil)
		began := time.Now()
		w.waitUntilStored()
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
		for _, id := range ids {
			if h := w.history(id); len(h.Messages) != 3 || h.PendingTurn != 0 {
				t.Errorf("stored %+v", h)
			}
		}
		if rec := w.must(200, post("/api/chat/start", "{}").with("Idempotency-Key", "s")); rec.Header().Get("Idempotency-Replayed") != "true" {
			t.Error("the greeting was lost")
		}
	})
}

// A turn that failed while the store was away is recorded as failed, and can be
// repeated at once.
func TestFailureThatCouldNotBeRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTimedHarness(t, failingAgent(&copilot.Error{Op: "turn", Kind: copilot.ErrServer}))
		id := w.start()
		w.store.failOn("FailTurn upstream_error", errAway)
		w.must(502, send(id, "x"))
		if w.server.PendingCommits() != 1 {
			t.Error("nothing waits")
		}
		w.must(503, send(id, "x"))
		w.store.failOn("FailTurn upstream_error", nil)
		w.agent.turn = nil
		w.must(200, send(id, "x"))
		if h := w.history(id); len(h.Messages) != 3 || h.Turns != 1 {
			t.Errorf("stored %+v", h)
		}
	})
}

// Another process may take the turn over before its answer is stored. The fence
// then makes what waits here void.
func TestWhatWaitsIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var dropped []string
		w := newTimedHarness(t, nil, func(c *Config) {
			c.OnCommitDropped = func(class string) { mu.Lock(); defer mu.Unlock(); dropped = append(dropped, class) }
		})
		id := w.start()
		w.store.failOn("CompleteTurn", errAway)
		c := send(id, "hello").with("Idempotency-Key", "k")
		w.must(503, c)
		other := newTimedHarness(t, answeringAgent(copilot.Message{Text: "From elsewhere."}))
		other.store.Store = w.store.Store
		other.must(200, c) // follows the turn until its lease has lapsed for good
		w.store.failOn("CompleteTurn", nil)
		w.waitUntilStored()
		if h := w.history(id); len(h.Messages) != 3 || h.Messages[2].Text != "From elsewhere." {
			t.Errorf("stored %+v", h)
		}
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(dropped, []string{"turn_conflict"}) || !strings.Contains(w.logs.String(), `"reason":"void"`) {
			t.Errorf("dropped %v, log %s", dropped, w.logs)
		}
	})
}

// One that can never be stored holds up no other, and goes when its time is over.
func TestWhatCannotBeStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTimedHarness(t, nil)
		bad, good := w.start(), w.start()
		w.store.failOn("CompleteTurn", errAway)
		w.must(503, send(bad, "x"))
		w.must(503, send(good, "x"))
		w.store.refuse = bad
		w.store.failOn("CompleteTurn", nil)
		time.Sleep(5 * time.Second)
		if h := w.history(good); len(h.Messages) != 3 || w.server.PendingCommits() != 1 {
			t.Errorf("stored %+v, %d wait", h, w.server.PendingCommits())
		}
		time.Sleep(turn.MaxCommitAge)
		if w.server.PendingCommits() != 0 || !strings.Contains(w.logs.String(), `"reason":"age","class":"store_unreachable"`) {
			t.Errorf("%d wait; log %s", w.server.PendingCommits(), w.logs)
		}
		// The lease has lapsed, so the conversation goes on.
		w.store.refuse = ""
		w.must(200, send(bad, "x"))
	})
}

// The end of the process waits for what is to be stored, as long as it may.
func TestShutdownStoresWhatWaits(t *testing.T) {
	for _, back := range []bool{true, false} {
		t.Run(fmt.Sprint(back), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTimedHarness(t, nil)
				id := w.start()
				w.store.failOn("CompleteTurn", errAway)
				answer := make(chan *httptest.ResponseRecorder)
				go func() { answer <- w.do(send(id, "x")) }()
				time.Sleep(commitIn / 2) // it is trying
				if back {
					timer := time.AfterFunc(3*time.Second, func() { w.store.failOn("CompleteTurn", nil) })
					defer timer.Stop()
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				began := time.Now()
				go func() {
					if rec := <-answer; rec.Code != 503 {
						t.Errorf("status %d", rec.Code)
					}
				}()
				_ = w.server.Shutdown(ctx)
				took := time.Since(began)
				if h := w.history(id); (len(h.Messages) == 3) != back || took > 11*time.Second || back && took > 5*time.Second {
					t.Errorf("after %v: %+v", took, h)
				}
				if lost := strings.Contains(w.logs.String(), `"reason":"shutdown"`); lost == back {
					t.Errorf("log %s", w.logs)
				}
			})
		})
	}
}
