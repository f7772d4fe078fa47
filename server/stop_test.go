package server

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/store"
)

// Stop ends the turn on whichever instance it runs; what was said until then is the
// answer, also after a reload and for a repeat.
func TestStop(t *testing.T) {
	for name, c := range map[string]struct {
		elsewhere bool
		within    time.Duration
	}{"here": {false, time.Second}, "elsewhere": {true, 3 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTimedHarness(t, typingAgent(100))
				other := w.elsewhere()
				at := w
				if c.elsewhere {
					at = other
				}
				id := w.start()
				asked := send(id, "x").with("Idempotency-Key", "k")
				own := w.read(t.Context(), asStream(asked))
				synctest.Wait()
				reader := at.read(t.Context(), resume(id))
				time.Sleep(4 * typing)
				began := time.Now()
				for n := range 2 {
					rec := at.do(stop(id))
					if n == 1 && rec.Code == 204 {
						continue // it has ended already
					}
					if rec.Code != 200 || rec.Body.String() != fmt.Sprintf("{\"conversationId\":%q,\"turn\":1,\"stopped\":true}\n", id) {
						t.Errorf("%d %s", rec.Code, rec.Body)
					}
				}
				all := own.events(t)
				if took := time.Since(began); took > c.within {
					t.Errorf("it took %v", took)
				}
				h := w.history(id)
				cut := h.Messages[len(h.Messages)-1]
				if len(h.Messages) != 4 || !cut.Stopped || h.Messages[2].Stopped || !strings.HasPrefix(cut.Text, "0 ñ 1 ñ ") {
					t.Errorf("stored %+v", h.Messages)
				}
				for _, e := range all {
					if e.Type == eventDelta && !strings.Contains(e.Data, cut.ID) {
						t.Errorf("the text that was cut had another id: %s", e.Data)
					}
				}
				rec := w.must(200, asked)
				for what, body := range map[string]string{"stream": all[len(all)-1].Data, "repeat": rec.Body.String()} {
					var a chatAnswer
					if err := json.Unmarshal([]byte(body), &a); err != nil || !a.Stopped || len(a.Messages) != 2 || a.Messages[1].Text != cut.Text {
						t.Errorf("%s: %s", what, body)
					}
				}
				events := reader.events(t)
				if got := shown(t, events); got != "First.|"+cut.Text || !strings.HasSuffix(names(events), " done") || !strings.Contains(events[len(events)-1].Data, `"stopped":true`) {
					t.Errorf("the reader was told %q: %s", got, names(events))
				}
				if w.agent.asked() != 2 {
					t.Errorf("the agent was asked %d times", w.agent.asked())
				}
				for _, w := range []*harness{w, other} {
					w.must(204, stop(id))
					w.must(404, stop(unknown))
				}
			})
		})
	}
}

// A turn that is stopped before the agent has said anything has an empty answer, and
// the conversation goes on.
func TestStopBeforeAWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTimedHarness(t, silentAgent())
		id := w.start()
		own := w.async(t.Context(), send(id, "x"))
		synctest.Wait()
		w.must(200, stop(id))
		if rec := <-own; rec.Code != 200 || !strings.Contains(rec.Body.String(), `"messages":[]`) || !strings.Contains(rec.Body.String(), `"stopped":true`) {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
		if h := w.history(id); len(h.Messages) != 2 || h.PendingTurn != 0 || len(h.Failures) != 0 {
			t.Errorf("stored %+v", h)
		}
		w.agent.turn = nil
		w.must(200, send(id, "y"))
	})
}

// The same input while its turn runs on another instance is the same request there as
// well: with a key and without, plain and as a stream.
func TestSameInputJoinsElsewhere(t *testing.T) {
	for name, change := range map[string]func(call) call{
		"without a key": func(c call) call { return c },
		"with a key":    func(c call) call { return c.with("Idempotency-Key", "k") },
		"as a stream":   asStream,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTimedHarness(t, typingAgent(10))
				other := w.elsewhere()
				id := w.start()
				own := w.async(t.Context(), change(send(id, "x")))
				time.Sleep(time.Second)
				second := other.async(t.Context(), change(send(id, "x")))
				a, b := <-own, <-second
				if a.Code != 200 || b.Code != 200 {
					t.Fatalf("%d, %d %s", a.Code, b.Code, b.Body)
				}
				end := func(s string) string { return s[strings.LastIndex(s, `{"conversationId"`):] }
				if end(a.Body.String()) != end(b.Body.String()) {
					t.Errorf("%s\n%s", a.Body, b.Body)
				}
				if h := w.history(id); w.agent.asked()+other.agent.asked() != 2 || len(h.Messages) != 4 {
					t.Errorf("asked %d and %d times, stored %+v", w.agent.asked(), other.agent.asked(), h)
				}
			})
		})
	}
}

// A repeat whose turn ran on an instance that died takes the turn over.
func TestRepeatTakesOverFromTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTimedHarness(t, silentAgent())
		other := w.elsewhere()
		id := w.start()
		own := w.async(t.Context(), send(id, "x"))
		synctest.Wait()
		second := other.async(t.Context(), send(id, "x"))
		time.Sleep(time.Second)
		w.store.failOn("RenewLease", errAway)
		began := time.Now()
		if rec := <-second; rec.Code != 200 || time.Since(began) > 2*store.LeaseTime {
			t.Errorf("%d %s after %v", rec.Code, rec.Body, time.Since(began))
		}
		if h := w.history(id); len(h.Messages) != 3 || h.Turns != 1 {
			t.Errorf("stored %+v", h)
		}
		w.store.failOn("RenewLease", nil)
		<-own
	})
}

// silentAgent says nothing until it is told to end.
func silentAgent() *fakeAgent {
	agent, _, _ := blockingAgent()
	return agent
}
