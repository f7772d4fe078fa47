package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tmaxmax/go-sse"

	"parley/server/copilot"
	"parley/server/turn"
	"parley/store"
	"parley/store/memory"
)

// What the agent writes is told while it writes, under the id that the message
// will have, and the last event is the answer in one piece.
func TestStreamTellsAsItComes(t *testing.T) {
	agent, steps := steppedAgent()
	w := newHarness(t, agent)
	id := w.start()
	answer := make(chan incoming)
	base := w.serve().URL
	go func() { answer <- asStream(send(id, "hello")).sendTo(t.Context(), t, base) }()
	steps <- deltaEvent("s1", "You")
	resp := <-answer
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	stream := readEvents(t, resp.Body)
	next := func(name string, into any) {
		t.Helper()
		e := stream.one()
		if e.Type != name {
			t.Fatalf("got %+v, want %s", e, name)
		}
		if err := json.Unmarshal([]byte(e.Data), into); err != nil {
			t.Fatal(err)
		}
	}
	var first, second turn.Delta
	next("delta", &first)
	steps <- deltaEvent("s1", "You said")
	next("delta", &second)
	if first.Text != "You" || second.Text != "You said" || first.Message != second.Message {
		t.Errorf("deltas %+v %+v", first, second)
	}
	steps <- messageEvent(copilot.Message{ID: "a", Text: "You said hello", StreamID: "s1"})
	var whole store.Message
	next("message", &whole)
	if whole.ID != first.Message || whole.Text != "You said hello" || whole.Turn != 1 {
		t.Errorf("message %+v", whole)
	}
	if got := w.history(id).Messages; len(got) != 2 {
		t.Errorf("stored before the end: %+v", got)
	}
	close(steps)
	var done chatAnswer
	next("done", &done)
	if len(done.Messages) != 1 || done.Messages[0].ID != whole.ID || done.Conversation != id {
		t.Errorf("done %+v", done)
	}
	if got := w.history(id).Messages; len(got) != 3 || got[2].ID != whole.ID {
		t.Errorf("stored %+v", got)
	}
	if rest := stream.rest(); len(rest) > 0 {
		t.Errorf("after the end: %+v", rest)
	}
	if resp.Trailer.Get("Server-Timing") == "" || !w.lastDone().Streamed {
		t.Errorf("trailer %v, done %+v", resp.Trailer, w.lastDone())
	}
}

// What done says is what the plain answer says, for every route that streams.
func TestStreamEndsWithThePlainAnswer(t *testing.T) {
	for _, c := range []call{
		{Method: "POST", Path: "/api/chat/start"},
		post("/api/chat/send", `{"conversationId":"ID","text":"a","workflowContext":`+flow+`}`),
		post("/api/chat/card-action", cardBody),
	} {
		plain, stream := newHarness(t, nil), newHarness(t, nil)
		plainCall, streamCall := c, c
		plainCall.Body = strings.Replace(c.Body, "ID", plain.start(), 1)
		streamCall.Body = strings.Replace(c.Body, "ID", stream.start(), 1)
		want := strings.TrimSpace(plain.must(200, plainCall).Body.String())
		got := parseEvents(t, stream.must(200, asStream(streamCall)).Body)
		if names(got) != "message done" || got[1].Data != want {
			t.Errorf("%s: %+v\nwant %s", c.Path, got, want)
		}
	}
}

func TestStreamReplays(t *testing.T) {
	w := newHarness(t, nil)
	c := send(w.start(), "a").with("Idempotency-Key", "k")
	want := strings.TrimSpace(w.must(200, c).Body.String())
	rec := w.must(200, asStream(c))
	got := parseEvents(t, rec.Body)
	if names(got) != "message done" || got[1].Data != want || rec.Header().Get("Idempotency-Replayed") != "true" {
		t.Errorf("%v %+v", rec.Header(), got)
	}
}

// Before the first event a failure keeps its status; after it, it is the last event.
func TestStreamFails(t *testing.T) {
	t.Run("before", func(t *testing.T) {
		w := newHarness(t, failingAgent(&copilot.Error{Op: "turn", Kind: copilot.ErrServer}))
		rec := w.must(502, asStream(send(w.start(), "a")))
		if rec.Header().Get("Content-Type") != "application/problem+json" || field[string](t, rec, "class") != "upstream_error" {
			t.Errorf("%v %s", rec.Header(), rec.Body)
		}
	})
	t.Run("after", func(t *testing.T) {
		w := newHarness(t, &fakeAgent{turn: func(_ context.Context, turn copilot.Turn) iter.Seq2[copilot.Event, error] {
			return func(yield func(copilot.Event, error) bool) {
				_ = yield(conversationEvent(turn), nil) && yield(deltaEvent("s", "I beg"), nil) &&
					yield(copilot.Event{}, &copilot.Error{Op: "turn", Kind: copilot.ErrInterrupted})
			}
		}})
		id := w.start()
		got := parseEvents(t, w.must(200, asStream(send(id, "a"))).Body)
		last := got[len(got)-1]
		var p problem
		if err := json.Unmarshal([]byte(last.Data), &p); err != nil || last.Type != "error" || p.Status != 502 || p.Class != "upstream_interrupted" || p.Conversation != id {
			t.Errorf("%+v", got)
		}
		if d := w.lastDone(); d.Status != 200 || d.Class != "upstream_interrupted" || d.Stage != turn.StageUpstream {
			t.Errorf("done %+v", d)
		}
		if h := w.history(id); len(h.Failures) != 1 {
			t.Errorf("stored %+v", h)
		}
	})
	t.Run("not stored", func(t *testing.T) {
		w := newHarness(t, nil)
		id := w.start()
		w.store.failOn("CompleteTurn", &store.Error{Op: "CompleteTurn", Kind: store.ErrCorrupt})
		got := parseEvents(t, w.must(200, asStream(send(id, "a"))).Body)
		if names(got) != "message error" || !strings.Contains(got[1].Data, `"status":500`) {
			t.Errorf("%+v", got)
		}
	})
	t.Run("panic", func(t *testing.T) {
		w := newHarness(t, &fakeAgent{turn: func(_ context.Context, turn copilot.Turn) iter.Seq2[copilot.Event, error] {
			return func(yield func(copilot.Event, error) bool) {
				if yield(deltaEvent("s", "I"), nil) {
					panic("oh")
				}
			}
		}})
		got := parseEvents(t, w.must(200, asStream(send(w.start(), "a"))).Body)
		if last := got[len(got)-1]; last.Type != "error" || !strings.Contains(last.Data, `"class":"panic"`) {
			t.Errorf("%+v", got)
		}
	})
}

// A silent stream is kept alive, and its failure then comes as an event.
func TestStreamIsKeptAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agent, _, _ := blockingAgent()
		w := newHarness(t, agent, func(c *Config) { c.Now = time.Now; c.UpstreamTimeout = 40 * time.Second })
		raw := w.must(200, asStream(send(w.start(), "a"))).Body.String()
		rest, silent := strings.CutPrefix(raw, ":\n\n:\n\n") // two comments, which are no events
		got := parseEvents(t, strings.NewReader(rest))
		if !silent || names(got) != "error" || !strings.Contains(got[0].Data, `"status":504`) {
			t.Errorf("%q", raw)
		}
	})
}

// A reader that takes nothing neither holds the turn back nor costs more than
// what its turn says; when it reads at last, no message is missing.
func TestStreamOfASlowReader(t *testing.T) {
	const messages, size = 40, 256 << 10
	agent := &fakeAgent{turn: func(_ context.Context, turn copilot.Turn) iter.Seq2[copilot.Event, error] {
		return func(yield func(copilot.Event, error) bool) {
			if !yield(conversationEvent(turn), nil) {
				return
			}
			for i := range messages {
				stream := fmt.Sprint("s", i)
				text := strings.Repeat("x", size)
				for n := size / 16; n <= size; n += size / 16 {
					if !yield(deltaEvent(stream, text[:n]), nil) {
						return
					}
				}
				if !yield(messageEvent(copilot.Message{ID: stream, Text: text, StreamID: stream}), nil) {
					return
				}
			}
		}
	}}
	w := newHarness(t, agent)
	id := w.start()
	resp := asStream(send(id, "a")).sendTo(t.Context(), t, w.serve().URL)
	// Nothing is read: the turn ends all the same.
	deadline, tick := time.After(10*time.Second), time.Tick(time.Millisecond)
	for len(w.history(id).Messages) < messages {
		select {
		case <-tick:
		case <-deadline:
			t.Fatal("the turn waits for its reader")
		}
	}
	var whole []string
	deltas := 0
	all := parseEvents(t, resp.Body)
	for _, e := range all {
		switch e.Type {
		case "message":
			whole = append(whole, e.Data)
		case "delta":
			deltas++
		}
	}
	last := all[len(all)-1]
	if len(whole) != messages || last.Type != "done" || deltas >= messages*16 {
		t.Errorf("%d messages, %d deltas, last %s", len(whole), deltas, last.Type)
	}
	if !strings.Contains(last.Data, `"messages":[`+strings.Join(whole, ",")+`]`) {
		t.Error("the messages are not those of the answer, each once and in order")
	}
}

// A client that goes, or takes nothing for too long, loses its connection; the
// turn is stored.
func TestStreamOfAGoneReader(t *testing.T) {
	w := newHarness(t, nil)
	id := w.start()
	defer func() {
		if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
			t.Errorf("ended with %v", err)
		}
		if d := w.lastDone(); d.Status != 200 || d.Class != "" || len(w.history(id).Messages) != 3 {
			t.Errorf("done %+v", d)
		}
	}()
	w.server.ServeHTTP(deadConnection{httptest.NewRecorder()}, asStream(send(id, "a")).request(t.Context()))
}

// deadConnection is a connection whose write deadline passes.
type deadConnection struct{ *httptest.ResponseRecorder }

func (deadConnection) Write([]byte) (int, error) { return 0, errors.New("i/o timeout") }

// A repeat of a running turn with its key joins it; any other request meets it.
func TestStreamJoins(t *testing.T) {
	agent, steps := steppedAgent()
	w := newHarness(t, agent)
	id := w.start()
	c := send(id, "hello").with("Idempotency-Key", "k")
	gone, leave := context.WithCancel(t.Context())
	first := w.async(gone, c)
	steps <- deltaEvent("s1", "You said")
	steps <- messageEvent(copilot.Message{ID: "a", Text: "You said hello", StreamID: "s1"})
	steps <- deltaEvent("s2", "And")
	leave()

	rec := w.must(409, c.with("Idempotency-Key", "k2"))
	if got := field[int](t, rec, "turn"); got != 1 || field[string](t, rec, "class") != "turn_conflict" {
		t.Error(rec.Body)
	}
	w.must(422, asStream(send(id, "other").with("Idempotency-Key", "k")))
	w.must(409, asStream(send(id, "hello")))
	w.must(409, asStream(send(id, "hello").with("Idempotency-Key", "k2")))

	base := w.serve().URL
	stream := readEvents(t, asStream(c).sendTo(t.Context(), t, base).Body)
	soFar := []sse.Event{stream.one(), stream.one()}
	if names(soFar) != "message delta" || !strings.Contains(soFar[1].Data, `"text":"And"`) {
		t.Errorf("so far %+v", soFar)
	}
	for range turn.MaxJoined - 1 {
		asStream(c).sendTo(t.Context(), t, base)
	}
	if one := asStream(c).sendTo(t.Context(), t, base); one.StatusCode != 409 {
		t.Errorf("one too many: %d", one.StatusCode)
	}
	steps <- messageEvent(copilot.Message{ID: "b", Text: "And more", StreamID: "s2"})
	close(steps)
	rest := stream.rest()
	if names(rest) != "message done" {
		t.Errorf("the rest %+v", rest)
	}
	plain := <-first
	if plain.Code != 200 || strings.TrimSpace(plain.Body.String()) != rest[1].Data {
		t.Errorf("first %s\njoined %s", plain.Body, rest[1].Data)
	}
	if w.agent.asked() != 2 {
		t.Errorf("the agent was asked %d times", w.agent.asked())
	}
	if !slices.ContainsFunc(w.allDone(), func(d Done) bool { return d.Joined && d.JoinedSpan == harnessTraceparent && d.Class == "" }) {
		t.Errorf("done %+v", w.allDone())
	}
}

func TestWantsStream(t *testing.T) {
	for accept, want := range map[string]bool{
		"text/event-stream": true, "TEXT/Event-Stream; charset=utf-8": true, "application/json, text/event-stream;q=0.5": true,
		"": false, "*/*": false, "application/json": false, "text/event-stream;q=0": false, "text/event-stream;q=0.000": false, ";;,,": false,
	} {
		if got := wantsStream(http.Header{"Accept": {accept}}); got != want {
			t.Errorf("%q: %v", accept, got)
		}
	}
}

// The time from the agent's first event to the client's first byte, over a real
// connection.
func BenchmarkFirstByte(b *testing.B) {
	said := make(chan time.Time, 1)
	agent := &fakeAgent{turn: func(_ context.Context, t copilot.Turn) iter.Seq2[copilot.Event, error] {
		return func(yield func(copilot.Event, error) bool) {
			said <- time.Now()
			_ = yield(conversationEvent(t), nil) && yield(deltaEvent("s", "So"), nil) && yield(messageEvent(copilot.Message{Text: "So", StreamID: "s"}), nil)
		}
	}}
	kept := memory.New(memory.Options{})
	s, err := New(Config{Agent: agent, Store: kept, Health: NewHealth(HealthConfig{Backend: "memory", Ping: kept.Ping})})
	if err != nil {
		b.Fatal(err)
	}
	web := httptest.NewServer(s)
	defer web.Close()
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, post("/api/chat/start", "{}").request(b.Context()))
	c := asStream(send(field[string](b, rec, "conversationId"), "hello"))
	var took []time.Duration
	for b.Loop() {
		h := c.sendTo(b.Context(), b, web.URL)
		if _, err := io.ReadFull(h.Body, make([]byte, 1)); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(<-said))
		_, _ = io.Copy(io.Discard, h.Body)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-median")
}
