package server

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tmaxmax/go-sse"

	"parley/server/copilot"
	"parley/server/turn"
	"parley/store"
)

const typing = 300 * time.Millisecond

// typingAgent says one text, and then writes a second one bit by bit.
func typingAgent(bits int) *fakeAgent {
	return &fakeAgent{turn: func(ctx context.Context, t copilot.Turn) iter.Seq2[copilot.Event, error] {
		return func(yield func(copilot.Event, error) bool) {
			if !yield(conversationEvent(t), nil) || !yield(messageEvent(copilot.Message{Text: "First."}), nil) {
				return
			}
			text := ""
			for n := range bits {
				select {
				case <-time.After(typing):
				case <-ctx.Done():
					yield(copilot.Event{}, &copilot.Error{Op: "turn", Kind: copilot.ErrTimeout})
					return
				}
				text += fmt.Sprintf("%d ñ ", n)
				if !yield(deltaEvent("s1", text), nil) {
					return
				}
			}
			yield(messageEvent(copilot.Message{Text: text, StreamID: "s1"}), nil)
		}
	}}
}

// elsewhere is another instance on the same store.
func (w *harness) elsewhere(change ...func(*Config)) *harness {
	w.t.Helper()
	other := newTimedHarness(w.t, nil, change...)
	other.store.Store = w.store.Store
	return other
}

func resume(id string) call { return asStream(get("/api/chat/conversations/" + id + "/stream")) }

func stop(id string) call {
	return call{Method: "POST", Path: "/api/chat/conversations/" + id + "/stop"}
}

// reading is a stream that is read, with the time of its first event.
type reading struct {
	*httptest.ResponseRecorder
	first time.Time
	over  chan struct{}
}

// Write implements http.ResponseWriter.
func (r *reading) Write(b []byte) (int, error) {
	if r.first.IsZero() && strings.Contains(string(b), "event:") {
		r.first = time.Now()
	}
	return r.ResponseRecorder.Write(b)
}

func (w *harness) read(ctx context.Context, c call) *reading {
	r := &reading{ResponseRecorder: httptest.NewRecorder(), over: make(chan struct{})}
	go func() {
		defer close(r.over)
		defer func() {
			if v := recover(); v != nil && v != http.ErrAbortHandler { //nolint:errorlint // the value that net/http panics with
				panic(v)
			}
		}()
		w.server.ServeHTTP(r, c.request(ctx))
		recorded(ctx, w.t, c, r.ResponseRecorder)
	}()
	return r
}

// events waits for the end of the stream.
func (r *reading) events(t *testing.T) []sse.Event {
	t.Helper()
	<-r.over
	if r.Code != 200 {
		t.Fatalf("%d %s", r.Code, r.Body)
	}
	return parseEvents(t, r.Body)
}

// shown is what a front end shows after these events: the text of every message, each
// by its id, in the order in which they appeared.
func shown(t *testing.T, all []sse.Event) string {
	t.Helper()
	var order []string
	texts := map[string]string{}
	for _, e := range all {
		var m struct{ ID, MessageID, Text string }
		if err := json.Unmarshal([]byte(e.Data), &m); err != nil {
			t.Fatal(err)
		}
		id := m.ID + m.MessageID
		if id == "" {
			continue
		}
		if e.LastEventID == "" {
			t.Errorf("an event has no id: %+v", e)
		}
		if _, there := texts[id]; !there {
			order = append(order, id)
		}
		texts[id] = m.Text
	}
	for i, id := range order {
		order[i] = texts[id]
	}
	return strings.Join(order, "|")
}

func (w *harness) count(name string) int {
	return len(slices.DeleteFunc(w.store.callNames(), func(call string) bool { return !strings.HasPrefix(call, name) }))
}

// A stream goes on at another instance, from the beginning or from any event that any
// instance has sent, and nothing is missing or doubled.
func TestStreamGoesOnElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTimedHarness(t, typingAgent(20))
		second, third := w.elsewhere(), w.elsewhere()
		id := w.start()
		own := w.read(t.Context(), asStream(send(id, "x")))
		time.Sleep(time.Second)
		asked := time.Now()
		anew := second.read(t.Context(), resume(id))
		again := second.read(t.Context(), resume(id))
		local := w.read(t.Context(), resume(id))
		time.Sleep(3 * time.Second)
		synctest.Wait()
		beginning := parseEvents(t, strings.NewReader(anew.Body.String())) // what has come so far
		last := beginning[len(beginning)-1].LastEventID
		rest := third.read(t.Context(), resume(id).with("Last-Event-ID", last))
		foreign := third.read(t.Context(), resume(id).with("Last-Event-ID", "77-1-5"))

		want := shown(t, own.events(t))
		for name, r := range map[string]*reading{"anew": anew, "again": again, "local": local, "foreign": foreign} {
			all := r.events(t)
			if got := shown(t, all); got != want || !strings.HasSuffix(names(all), " message done") {
				t.Errorf("%s: %q, want %q: %s", name, got, want, names(all))
			}
		}
		if took := anew.first.Sub(asked); took > 2*time.Second {
			t.Errorf("the first event took %v", took)
		}
		after := rest.events(t)
		if got := shown(t, append(beginning, after...)); got != want {
			t.Errorf("with Last-Event-ID %s: %q, want %q", last, got, want)
		}
		if names(after)[:len("delta")] != "delta" {
			t.Errorf("with Last-Event-ID %s it begins anew: %s", last, names(after))
		}
		if rec := second.do(resume(id)); rec.Code != 204 {
			t.Errorf("after the end: %d %s", rec.Code, rec.Body)
		}
		if rec := second.do(resume(unknown)); rec.Code != 404 {
			t.Errorf("no such conversation: %d", rec.Code)
		}
	})
}

// A turn that nobody follows elsewhere costs the store no call more, and one that
// somebody follows at most 20 writes a second, however many follow it.
func TestFollowingIsPaidOnDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTimedHarness(t, typingAgent(40))
		other := w.elsewhere()
		id := w.start()
		w.store.resetCalls()
		own := w.read(t.Context(), asStream(send(id, "x")))
		synctest.Wait()
		local := w.read(t.Context(), resume(id))
		own.events(t)
		local.events(t)
		for _, call := range w.store.callNames() {
			if call != "BeginTurn" && call != "CompleteTurn" && call != "RenewLease" {
				t.Errorf("%s, although nobody followed elsewhere", call)
			}
		}
		w.store.resetCalls()
		began := time.Now()
		own = w.read(t.Context(), asStream(send(id, "y")))
		synctest.Wait()
		readers := []*reading{}
		for range turn.MaxJoined {
			readers = append(readers, other.read(t.Context(), resume(id)))
		}
		own.events(t)
		took := time.Since(began)
		for _, r := range readers {
			r.events(t)
		}
		if n := w.count("Publish"); n == 0 || float64(n) > 20*took.Seconds() {
			t.Errorf("%d writes in %v", n, took)
		}
		if n := other.count("Follow"); float64(n) > 11*took.Seconds()+2*float64(turn.MaxJoined) {
			t.Errorf("%d reads in %v for %d readers", n, took, turn.MaxJoined)
		}
	})
}

// A reader that leaves ends the publishing.
func TestPublishingEndsWithItsReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTimedHarness(t, typingAgent(100))
		other := w.elsewhere()
		id := w.start()
		own := w.read(t.Context(), asStream(send(id, "x")))
		synctest.Wait()
		ctx, leave := context.WithCancel(t.Context())
		gone := other.read(ctx, resume(id))
		time.Sleep(5 * time.Second)
		leave()
		<-gone.over
		time.Sleep(store.InterestTime + store.LeaseTime)
		w.store.resetCalls()
		other.store.resetCalls()
		time.Sleep(5 * time.Second)
		if w.count("Publish")+other.count("Follow") != 0 {
			t.Errorf("%v, %v", w.store.callNames(), other.store.callNames())
		}
		late := other.read(t.Context(), resume(id)) // and it begins again, with all of it
		want := shown(t, own.events(t))
		if got := shown(t, late.events(t)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

// The readers of an instance that dies are told so, and neither wait for ever nor
// take what they got for the whole.
func TestReadersOfAnInstanceThatDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTimedHarness(t, typingAgent(100))
		other := w.elsewhere()
		id := w.start()
		own := w.read(t.Context(), asStream(send(id, "x")))
		synctest.Wait()
		reader := other.read(t.Context(), resume(id))
		time.Sleep(5 * time.Second)
		w.store.failOn("RenewLease", errAway)
		w.store.failOn("Publish", errAway)
		died := time.Now()
		all := reader.events(t)
		if last := all[len(all)-1]; last.Type != eventError || !strings.Contains(last.Data, `"instance_lost"`) || !strings.Contains(last.Data, `"retryable":true`) {
			t.Errorf("the last event is %+v", last)
		}
		if took := time.Since(died); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
		if rec := other.do(resume(id)); rec.Code != 204 {
			t.Errorf("afterwards: %d", rec.Code)
		}
		w.store.failOn("RenewLease", nil)
		own.events(t)
	})
}

// An outage of the store that is longer than a lease costs the readers nothing.
func TestReadersOutliveAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTimedHarness(t, typingAgent(60))
		other := w.elsewhere()
		id := w.start()
		own := w.read(t.Context(), asStream(send(id, "x")))
		synctest.Wait()
		reader := other.read(t.Context(), resume(id))
		time.Sleep(4 * time.Second)
		fail := func(err error) {
			w.store.failOn("RenewLease", err)
			w.store.failOn("Publish", err)
			other.store.failOn("Follow", err)
		}
		fail(errAway)
		time.Sleep(7 * time.Second)
		fail(nil)
		if got, want := shown(t, reader.events(t)), shown(t, own.events(t)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

// A turn that fails elsewhere fails for its readers with the class that it had there.
func TestReadersHearOfAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTimedHarness(t, typingAgent(1000), func(c *Config) { c.UpstreamTimeout = 10 * time.Second })
		other := w.elsewhere()
		id := w.start()
		own := w.read(t.Context(), asStream(send(id, "x")))
		synctest.Wait()
		all := other.read(t.Context(), resume(id)).events(t)
		own.events(t)
		if last := all[len(all)-1]; last.Type != eventError || !strings.Contains(last.Data, `"class":"upstream_timeout"`) || other.lastDone().Class != "upstream_timeout" {
			t.Errorf("the last event is %+v", last)
		}
	})
}

// Readers count as turns of their owner and are bounded for each turn; an instance that
// stops sends those of other instances' turns elsewhere.
func TestReadersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTimedHarness(t, typingAgent(60))
		other, small := w.elsewhere(), w.elsewhere(func(c *Config) { c.MaxTurnsPerOwner = 1 })
		id := w.start()
		own := w.read(t.Context(), asStream(send(id, "x")))
		synctest.Wait()
		var readers []*reading
		for range turn.MaxJoined {
			readers = append(readers, other.read(t.Context(), resume(id)))
		}
		first := small.read(t.Context(), resume(id))
		synctest.Wait()
		for name, w := range map[string]*harness{"of the turn": other, "of the owner": small} {
			if rec := w.do(resume(id)); rec.Code != 429 {
				t.Errorf("one more %s: %d", name, rec.Code)
			}
		}
		var stopping sync.WaitGroup
		stopping.Go(func() { _ = other.server.Shutdown(t.Context()) })
		for _, r := range readers {
			all := r.events(t)
			if last := all[len(all)-1]; !strings.Contains(last.Data, `"shutting_down"`) {
				t.Errorf("the last event is %+v", last)
			}
		}
		stopping.Wait()
		own.events(t)
		first.events(t)
	})
}
