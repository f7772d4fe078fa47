package server

import (
	"context"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/server/copilot"
	"parley/server/turn"
	"parley/store"
)

// blockingAgent makes an agent whose turns send on started when they run, and end
// when release is closed or their context is done.
func blockingAgent() (agent *fakeAgent, started chan struct{}, release chan struct{}) {
	started, release = make(chan struct{}, 10), make(chan struct{})
	agent = &fakeAgent{turn: func(ctx context.Context, t copilot.Turn) iter.Seq2[copilot.Event, error] {
		return func(yield func(copilot.Event, error) bool) {
			started <- struct{}{}
			select {
			case <-release:
				_ = yield(conversationEvent(t), nil) && yield(messageEvent(copilot.Message{ID: "late", Text: "At last: " + t.Text}), nil)
			case <-ctx.Done():
				yield(copilot.Event{}, &copilot.Error{Op: "turn", Kind: copilot.ErrTimeout, Cause: ctx.Err()})
			}
		}
	}}
	return agent, started, release
}

// async sends a request on its own goroutine. An answer that is cut off before anything
// of it was written has the status noAnswer.
func (w *harness) async(ctx context.Context, c call) <-chan *httptest.ResponseRecorder {
	answer := make(chan *httptest.ResponseRecorder, 1)
	go func() {
		rec, _ := answerOf(w.server, c.request(ctx))
		recorded(ctx, w.t, c, rec)
		answer <- rec
	}()
	return answer
}

// The lease of a slow turn is kept, and a turn that lost it stops at once.
func TestLease(t *testing.T) {
	for name, c := range map[string]struct {
		renewal error
		status  int
		class   string
	}{
		"kept":       {nil, 200, ""},
		"store down": {&store.Error{Op: "RenewLease", Kind: store.ErrUnreachable}, 200, ""},
		"panics":     {turn.ErrPanic, 200, ""},
		"taken over": {store.ErrStale, 409, "turn_conflict"},
		"deleted":    {store.ErrNotFound, 404, "not_found"},
		"lost":       {&store.Error{Op: "RenewLease", Kind: store.ErrLost}, 503, "store_lost"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				agent, started, release := blockingAgent()
				w := newHarness(t, agent, func(c *Config) { c.Now = time.Now })
				id := w.start()
				w.store.resetCalls()
				if c.renewal != nil {
					w.store.failOn("RenewLease", c.renewal)
				}
				answer := w.async(t.Context(), send(id, "x"))
				<-started
				timer := time.AfterFunc(2*store.LeaseTime, func() { close(release) })
				defer timer.Stop()
				rec := <-answer
				if rec.Code != c.status || w.lastDone().Class != c.class {
					t.Errorf("status %d, done %+v", rec.Code, w.lastDone())
				}
				calls := w.store.callNames()
				if last := calls[len(calls)-1]; (last == "CompleteTurn") != (c.status == 200) || strings.HasPrefix(last, "FailTurn") {
					t.Errorf("calls %v", calls)
				}
			})
		})
	}
}

// A store that is away when a lease is to be renewed, and back before it lapses,
// costs the turn nothing.
func TestLeaseOutlivesABlink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agent, started, release := blockingAgent()
		w := newHarness(t, agent, func(c *Config) { c.Now = time.Now })
		id := w.start()
		w.store.failOn("RenewLease", errAway)
		answer := w.async(t.Context(), send(id, "x"))
		<-started
		time.Sleep(store.LeaseTime * 7 / 10)
		w.store.failOn("RenewLease", nil)
		time.Sleep(store.LeaseTime / 2)
		w.must(409, send(id, "another"))
		close(release)
		if rec := <-answer; rec.Code != 200 {
			t.Errorf("status %d", rec.Code)
		}
	})
}

// A lease that has lapsed while the store was away takes no turn from the process
// that still runs it: whatever comes for the conversation, the agent is asked once
// and the first request gets its answer.
func TestRunningTurnIsNotAdopted(t *testing.T) {
	keyed := func(c call) call { return c.with("Idempotency-Key", "k") }
	plain := func(c call) call { return c }
	for name, row := range map[string]struct {
		first  func(call) call
		second func(id string) call
		status int // of the second: it joins, or meets the first
	}{
		"the same key":            {keyed, func(id string) call { return keyed(send(id, "x")) }, 200},
		"the same input, no key":  {plain, func(id string) call { return send(id, "x") }, 200},
		"another input":           {plain, func(id string) call { return send(id, "y") }, 409},
		"another input, with key": {keyed, func(id string) call { return keyed(send(id, "x")).with("Idempotency-Key", "l") }, 409},
	} {
		for _, where := range []string{"at the agent", "at the commit"} {
			t.Run(name+" "+where, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					agent, started, release := blockingAgent()
					w := newHarness(t, agent, func(c *Config) { c.Now, c.CommitTimeout = time.Now, time.Minute })
					id := w.start()
					w.store.failOn("RenewLease", errAway)
					if where == "at the commit" {
						w.store.failOn("CompleteTurn", errAway)
						close(release)
					}
					answer := w.async(t.Context(), row.first(send(id, "x")))
					<-started
					time.Sleep(store.LeaseTime + time.Second)
					w.store.failOn("RenewLease", nil)
					repeat := w.async(t.Context(), row.second(id))
					synctest.Wait()
					w.store.failOn("CompleteTurn", nil)
					if where == "at the agent" {
						close(release)
					}
					if rec := <-answer; rec.Code != 200 {
						t.Errorf("the first request: %d %s", rec.Code, rec.Body)
					}
					if rec := <-repeat; rec.Code != row.status || rec.Code == 409 && rec.Header().Get("Retry-After") == "" {
						t.Errorf("the repeat: %d %s", rec.Code, rec.Body)
					}
					if asked, h := w.agent.asked(), w.history(id); asked != 2 || len(h.Messages) != 3 {
						t.Errorf("the agent was asked %d times; stored %+v", asked, h)
					}
				})
			})
		}
	}
}

func TestUpstreamTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agent, _, _ := blockingAgent()
		w := newHarness(t, agent, func(c *Config) { c.Now = time.Now; c.UpstreamTimeout = 3 * time.Second })
		id := w.start()
		began := time.Now()
		w.must(504, send(id, "x"))
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agent, started, _ := blockingAgent()
		w := newHarness(t, agent, func(c *Config) { c.Now = time.Now })
		id := w.start()
		answer := w.async(t.Context(), send(id, "x"))
		<-started
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		over := make(chan error)
		go func() { over <- w.server.Shutdown(ctx) }()
		synctest.Wait()
		rec := w.must(http.StatusServiceUnavailable, send(id, "y"))
		if field[string](t, rec, "class") != "shutting_down" {
			t.Error(rec.Body)
		}
		if err := <-over; err == nil {
			t.Error("nothing was said of the turn that was cut")
		}
		if rec := <-answer; rec.Code != http.StatusServiceUnavailable {
			t.Errorf("status %d", rec.Code)
		}
		if h := w.history(id); len(h.Failures) != 1 || h.Failures[0].Class != "shutting_down" {
			t.Errorf("stored %+v", h)
		}
		if err := w.server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestTooManyTurns(t *testing.T) {
	agent, started, release := blockingAgent()
	w := newHarness(t, agent, func(c *Config) { c.MaxTurns = 1 })
	id, other := w.start(), w.start()
	first := w.async(t.Context(), send(id, "x"))
	<-started
	rec := w.must(http.StatusTooManyRequests, send(other, "y"))
	if rec.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	close(release)
	<-first
	w.must(200, send(other, "y"))
}
