package server

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/store"
)

// lateBegin is a store that delays the first begin of a turn until begin is closed.
type lateBegin struct {
	store.Store
	first chan struct{} // has one element
	begin chan struct{}
}

// BeginTurn implements store.Store.
func (l *lateBegin) BeginTurn(ctx context.Context, b store.Begin) (store.Turn, error) {
	select {
	case <-l.first:
		<-l.begin
	default:
	}
	return l.Store.BeginTurn(ctx, b)
}

// Two equal requests that reach one instance at the same time are one turn, also when
// the store tells the one that it is busy after the other has begun, and when both wait
// behind another turn.
func TestSameInputAtTheSameTime(t *testing.T) {
	for name, wait := range map[string]time.Duration{"that waits": turnWait, "that does not wait": 0} {
		t.Run("an instance "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				agent, started, release := blockingAgent()
				w := newHarness(t, agent, func(c *Config) { c.Now, c.TurnWait = time.Now, wait })
				id := w.start()
				late := &lateBegin{Store: w.store.Store, first: make(chan struct{}, 1), begin: make(chan struct{})}
				late.first <- struct{}{}
				w.store.Store = late
				second := w.async(t.Context(), send(id, "x"))
				synctest.Wait()
				first := w.async(t.Context(), send(id, "x"))
				<-started
				close(late.begin)
				synctest.Wait()
				close(release)
				w.answeredOnce(id, 2, 3, first, second)
			})
		})
	}
	t.Run("behind another turn", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w, started, release := newWaitingHarness(t)
			id := w.start()
			other := w.async(t.Context(), send(id, "other"))
			<-started
			first := w.async(t.Context(), send(id, "x"))
			synctest.Wait()
			second := w.async(t.Context(), send(id, "x"))
			synctest.Wait()
			release <- struct{}{}
			<-other
			<-started
			synctest.Wait()
			close(release)
			w.answeredOnce(id, 3, 5, first, second)
		})
	})
}

// answeredOnce wants both requests to have the same answer of one turn.
func (w *harness) answeredOnce(id string, asked, stored int, both ...<-chan *httptest.ResponseRecorder) {
	w.t.Helper()
	for _, each := range both {
		if rec := <-each; rec.Code != 200 || !strings.Contains(rec.Body.String(), "At last: x") {
			w.t.Errorf("%d %s", rec.Code, rec.Body)
		}
	}
	if h := w.history(id); w.agent.asked() != asked || len(h.Messages) != stored {
		w.t.Errorf("asked %d times, stored %+v", w.agent.asked(), h.Messages)
	}
}
