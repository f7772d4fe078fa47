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

// waiting makes an agent whose turns say on begun that they run, and end when
// go_ is closed or their context is done.
func waiting() (agent *fakeAgent, begun chan struct{}, goOn chan struct{}) {
	begun, goOn = make(chan struct{}, 10), make(chan struct{})
	agent = &fakeAgent{turn: func(ctx context.Context, t copilot.Turn) iter.Seq2[copilot.Event, error] {
		return func(yield func(copilot.Event, error) bool) {
			begun <- struct{}{}
			select {
			case <-goOn:
				_ = yield(accepted(t), nil) && yield(says(copilot.Message{ID: "late", Text: "At last: " + t.Text}), nil)
			case <-ctx.Done():
				yield(copilot.Event{}, &copilot.Error{Op: "turn", Kind: copilot.ErrTimeout, Cause: ctx.Err()})
			}
		}
	}}
	return agent, begun, goOn
}

// later carries a request out on its own goroutine.
func (w *world) later(ctx context.Context, c call) <-chan *httptest.ResponseRecorder {
	answer := make(chan *httptest.ResponseRecorder, 1)
	go func() {
		rec := httptest.NewRecorder()
		w.server.ServeHTTP(rec, c.request(ctx))
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
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				agent, begun, goOn := waiting()
				w := newWorld(t, agent, func(c *Config) { c.Now = time.Now })
				id := w.begin()
				w.store.forget()
				if c.renewal != nil {
					w.store.breaks("RenewLease", c.renewal)
				}
				answer := w.later(t.Context(), send(id, "x"))
				<-begun
				timer := time.AfterFunc(2*store.LeaseTime, func() { close(goOn) })
				defer timer.Stop()
				rec := <-answer
				if rec.Code != c.status || w.lastDone().Class != c.class {
					t.Errorf("status %d, done %+v", rec.Code, w.lastDone())
				}
				calls := w.store.seen()
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
		agent, begun, goOn := waiting()
		w := newWorld(t, agent, func(c *Config) { c.Now = time.Now })
		id := w.begin()
		w.store.breaks("RenewLease", away)
		answer := w.later(t.Context(), send(id, "x"))
		<-begun
		time.Sleep(store.LeaseTime * 7 / 10)
		w.store.breaks("RenewLease", nil)
		time.Sleep(store.LeaseTime / 2)
		w.must(409, send(id, "another"))
		close(goOn)
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
					agent, begun, goOn := waiting()
					w := newWorld(t, agent, func(c *Config) { c.Now, c.CommitTimeout = time.Now, time.Minute })
					id := w.begin()
					w.store.breaks("RenewLease", away)
					if where == "at the commit" {
						w.store.breaks("CompleteTurn", away)
						close(goOn)
					}
					answer := w.later(t.Context(), row.first(send(id, "x")))
					<-begun
					time.Sleep(store.LeaseTime + time.Second)
					w.store.breaks("RenewLease", nil)
					repeat := w.later(t.Context(), row.second(id))
					synctest.Wait()
					w.store.breaks("CompleteTurn", nil)
					if where == "at the agent" {
						close(goOn)
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
		agent, _, _ := waiting()
		w := newWorld(t, agent, func(c *Config) { c.Now = time.Now; c.UpstreamTimeout = 3 * time.Second })
		id := w.begin()
		began := time.Now()
		w.must(504, send(id, "x"))
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agent, begun, _ := waiting()
		w := newWorld(t, agent, func(c *Config) { c.Now = time.Now })
		id := w.begin()
		answer := w.later(t.Context(), send(id, "x"))
		<-begun
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
	agent, begun, goOn := waiting()
	w := newWorld(t, agent, func(c *Config) { c.MaxTurns = 1 })
	id, other := w.begin(), w.begin()
	first := w.later(t.Context(), send(id, "x"))
	<-begun
	rec := w.must(http.StatusTooManyRequests, send(other, "y"))
	if rec.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	close(goOn)
	<-first
	w.must(200, send(other, "y"))
}
