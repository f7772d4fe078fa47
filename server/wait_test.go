package server

import (
	"context"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/server/turn"
	"parley/store"
)

const turnWait = 6 * time.Second

// newWaitingHarness makes a harness whose turns wait for their turn, and whose agent's
// answers wait for release.
func newWaitingHarness(t *testing.T) (w *harness, started, release chan struct{}) {
	agent, started, release := blockingAgent()
	return newHarness(t, agent, func(c *Config) { c.Now, c.TurnWait = time.Now, turnWait }), started, release
}

// Turns of one conversation that come close together are all answered, in the
// order in which they came, and cost the store no calls while they wait for a turn
// of their own process.
func TestTurnsWaitForTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, started, release := newWaitingHarness(t)
		id := w.start()
		var answers []<-chan *httptest.ResponseRecorder
		for n := range 1 + turn.MaxWaiting {
			answers = append(answers, w.async(t.Context(), send(id, fmt.Sprintf("text %d", n))))
			synctest.Wait()
		}
		<-started
		w.store.resetCalls()
		time.Sleep(turnWait - time.Second)
		if calls := w.store.callNames(); slices.Contains(calls, "BeginTurn") {
			t.Errorf("asked while they waited: %v", calls)
		}
		rec := w.must(409, send(id, "one too many"))
		if field[string](t, rec, "class") != "turn_conflict" || rec.Header().Get("Retry-After") == "" {
			t.Errorf("%s %v", rec.Body, rec.Header())
		}
		close(release)
		for n, answer := range answers {
			if rec := <-answer; rec.Code != 200 || !strings.Contains(rec.Body.String(), fmt.Sprintf("At last: text %d", n)) {
				t.Errorf("%d: %d %s", n, rec.Code, rec.Body)
			}
		}
		if h := w.history(id); len(h.Messages) != 11 || h.Messages[9].Text != "text 4" {
			t.Errorf("stored %+v", h.Messages)
		}
	})
}

// A turn that waits gives up after TurnWait, when its client leaves and when the
// process ends; the next one takes its place.
func TestWaitingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, started, release := newWaitingHarness(t)
		id := w.start()
		first := w.async(t.Context(), send(id, "first"))
		<-started
		ctx, leave := context.WithCancel(t.Context())
		left := w.async(ctx, send(id, "left"))
		synctest.Wait()
		start := time.Now()
		late := w.async(t.Context(), send(id, "late"))
		synctest.Wait()
		leave()
		if rec := <-left; rec.Code != noAnswer {
			t.Errorf("left: %d", rec.Code)
		}
		if rec := <-late; rec.Code != 409 || time.Since(start) != turnWait {
			t.Errorf("late: %d after %v", rec.Code, time.Since(start))
		}
		last := w.async(t.Context(), send(id, "last"))
		synctest.Wait()
		over, cancel := context.WithCancel(t.Context())
		cancel()
		_ = w.server.Shutdown(over)
		for name, answer := range map[string]<-chan *httptest.ResponseRecorder{"first": first, "last": last} {
			if rec := <-answer; rec.Code != 503 || field[string](t, rec, "class") != "shutting_down" {
				t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
			}
		}
		close(release)
	})
}

// A turn of another instance is asked for at growing intervals, about ten times in
// all, and a lease that lapses is noticed at once.
func TestWaitingForAnotherInstance(t *testing.T) {
	for name, renewed := range map[string]bool{"alive": true, "dead": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newHarness(t, nil, func(c *Config) { c.Now, c.TurnWait = time.Now, turnWait })
				id := w.start()
				b := store.Begin{Owner: store.Owner{Tenant: store.DefaultTenant, User: store.DefaultUser}, Conversation: id, Fingerprint: "elsewhere", Input: []store.Message{{ID: unknown, Role: store.RoleUser, Kind: store.KindText, Text: "x"}}}
				held, err := w.store.Store.BeginTurn(t.Context(), b)
				if err != nil {
					t.Fatal(err)
				}
				if renewed {
					stop := time.AfterFunc(store.LeaseTime/2, func() { _, _ = w.store.Store.RenewLease(context.Background(), held) })
					defer stop.Stop()
				}
				w.store.resetCalls()
				start := time.Now()
				rec := w.do(send(id, "here"))
				took := time.Since(start)
				asked := 0
				for _, call := range w.store.callNames() {
					if call == "BeginTurn" {
						asked++
					}
				}
				if asked > 11 {
					t.Errorf("the store was asked %d times", asked)
				}
				switch {
				case renewed && (rec.Code != 409 || took != turnWait):
					t.Errorf("%d after %v", rec.Code, took)
				case !renewed && (rec.Code != 200 || took > store.LeaseTime+10*time.Millisecond):
					t.Errorf("%d after %v", rec.Code, took)
				}
			})
		})
	}
}

// The same input while its own turn runs is the same request, with and without a
// key, plain and as a stream: it gets that turn's answer, and the agent is asked
// once.
func TestSameInputJoins(t *testing.T) {
	for name, c := range map[string]struct {
		change func(call) call
		fails  bool
	}{
		"without a key":          {change: func(c call) call { return c }},
		"with a key":             {change: func(c call) call { return c.with("Idempotency-Key", "k") }},
		"the agent fails":        {change: func(c call) call { return c }, fails: true},
		"as a stream":            {change: asStream},
		"as a stream with a key": {change: func(c call) call { return asStream(c.with("Idempotency-Key", "k")) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, started, release := newWaitingHarness(t)
				id := w.start()
				ctx, leave := context.WithCancel(t.Context())
				first := w.async(ctx, c.change(send(id, "x")))
				<-started
				leave() // the connection breaks
				second := w.async(t.Context(), c.change(send(id, "x")))
				plain := c.change(send(id, "x"))
				delete(plain.Headers, "Accept")
				third := w.async(t.Context(), plain)
				synctest.Wait()
				if !c.fails {
					close(release)
				}
				<-first
				rec, rec3 := <-second, <-third
				want := 200
				if c.fails {
					want = 504
				}
				if rec3.Code != want || rec.Code != want && rec.Code != 200 {
					t.Errorf("%d %s\n%d %s", rec.Code, rec.Body, rec3.Code, rec3.Body)
				}
				if !c.fails && (!strings.Contains(rec.Body.String(), "At last: x") || !strings.Contains(rec3.Body.String(), "At last: x")) {
					t.Errorf("%s\n%s", rec.Body, rec3.Body)
				}
				if h := w.history(id); w.agent.asked() != 2 || !c.fails && len(h.Messages) != 3 {
					t.Errorf("asked %d times, stored %+v", w.agent.asked(), h)
				}
			})
		})
	}
}

// A key that differs makes it another turn, and so does another input.
func TestOtherInputWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, started, release := newWaitingHarness(t)
		id := w.start()
		first := w.async(t.Context(), send(id, "x"))
		<-started
		second := w.async(t.Context(), send(id, "x").with("Idempotency-Key", "k"))
		synctest.Wait()
		close(release)
		if a, b := <-first, <-second; a.Code != 200 || b.Code != 200 {
			t.Errorf("%d, %d", a.Code, b.Code)
		}
		if h := w.history(id); w.agent.asked() != 3 || len(h.Messages) != 5 {
			t.Errorf("asked %d times, stored %+v", w.agent.asked(), h)
		}
	})
}

// An answer that nobody waited for any more is given to a repeat of its request
// without a key, also when the turn has ended by then; one that somebody followed is
// heard.
func TestAnswerOfAClientThatLeft(t *testing.T) {
	for name, followed := range map[string]bool{"nobody followed": false, "somebody followed": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, started, release := newWaitingHarness(t)
				id := w.start()
				ctx, leave := context.WithCancel(t.Context())
				first := w.async(ctx, send(id, "x"))
				<-started
				leave() // the connection breaks
				synctest.Wait()
				answers := []<-chan *httptest.ResponseRecorder{first}
				if followed {
					answers = append(answers, w.async(t.Context(), send(id, "x")))
					synctest.Wait()
				}
				close(release)
				for _, a := range answers {
					<-a
				}
				rec := w.must(200, send(id, "x"))
				replayed := rec.Header().Get("Idempotency-Replayed") == "true"
				if h := w.history(id); replayed == followed || !followed && (w.agent.asked() != 2 || len(h.Messages) != 3) {
					t.Errorf("replayed %v, asked %d times, stored %+v", replayed, w.agent.asked(), h.Messages)
				}
			})
		})
	}
}
