package server

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/server/auth"
	"parley/server/copilot"
	"parley/server/turn"
	"parley/store"
)

// ROUTE-01, ROUTE-02, ROUTE-04: owner, createdAt and status of a new conversation.
func TestStartStoresWhoAndWhen(t *testing.T) {
	w := newHarness(t, nil, func(c *Config) { c.Auth = auth.Anyone{} })
	c := w.history(w.start())
	if c.Owner != (store.Owner{Tenant: "dev", User: "anonymous"}) || !c.CreatedAt.Equal(epoch) || c.Status != store.StatusActive || c.UpstreamID != "up-1" {
		t.Errorf("stored %+v", c)
	}

	w = newHarness(t, nil, func(c *Config) { c.AuthRequired, c.Auth = true, fixedVerifier{Tenant: "t1", User: "u1", Token: "jwt"} })
	id := w.start()
	if _, err := w.store.Conversation(t.Context(), store.Owner{Tenant: "t1", User: "u1"}, id, store.Range{}); err != nil {
		t.Error(err)
	}
	if got := w.agent.starts[0].Identity; got != (copilot.Identity{Tenant: "t1", User: "u1", Assertion: "jwt"}) {
		t.Errorf("the agent was asked for %+v", got)
	}
}

// fixedVerifier is a verifier with one answer.
type fixedVerifier auth.Principal

func (f fixedVerifier) Verify(context.Context, string) (auth.Principal, error) {
	return auth.Principal(f), nil
}

// ROUTE-03: a turn moves updatedAt.
func TestTurnMovesUpdatedAt(t *testing.T) {
	now, mu := epoch, sync.Mutex{}
	w := newHarness(t, nil, func(c *Config) {
		c.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	id := w.start()
	for _, c := range []call{send(id, "hello"), post("/api/chat/card-action", strings.Replace(cardBody, "ID", id, 1))} {
		mu.Lock()
		now = now.Add(time.Minute)
		mu.Unlock()
		w.must(200, c)
		if got := w.history(id).UpdatedAt; !got.Equal(now) {
			t.Errorf("updatedAt is %v at %v", got, now)
		}
	}
}

func TestSecondTurnIsRefusedWhileOneRuns(t *testing.T) {
	agent, started, release := blockingAgent()
	w := newHarness(t, agent)
	id := w.start()
	first := w.async(t.Context(), send(id, "one"))
	<-started
	rec := w.must(409, send(id, "two"))
	if got := field[string](t, rec, "class"); got != "turn_conflict" || rec.Header().Get("Retry-After") != "5" {
		t.Errorf("%s, Retry-After %q", got, rec.Header().Get("Retry-After"))
	}
	close(release)
	if rec := <-first; rec.Code != 200 {
		t.Errorf("the first turn: %d %s", rec.Code, rec.Body)
	}
	w.must(200, send(id, "two"))
	if got := len(w.history(id).Messages); got != 5 {
		t.Errorf("%d messages", got)
	}
}

func TestConversationsNeverMix(t *testing.T) {
	w := newHarness(t, nil)
	var wg sync.WaitGroup
	for n := range 8 {
		id := w.start()
		wg.Go(func() {
			for i := range 20 {
				rec := w.do(send(id, fmt.Sprintf("%d/%d", n, i)))
				if !strings.Contains(rec.Body.String(), fmt.Sprintf("You said: %d/%d\"", n, i)) {
					t.Errorf("conversation %d heard %s", n, rec.Body)
				}
			}
		})
		defer func() {
			for _, m := range w.history(id).Messages[1:] {
				if !strings.Contains(m.Text, fmt.Sprintf("%d/", n)) {
					t.Errorf("conversation %d holds %q", n, m.Text)
				}
			}
		}()
	}
	wg.Wait()
}

func TestClientThatLeavesLosesNothing(t *testing.T) {
	agent, started, release := blockingAgent()
	w := newHarness(t, agent)
	id := w.start()
	ctx, leave := context.WithCancel(t.Context())
	answer := w.async(ctx, send(id, "bye"))
	<-started
	leave()
	close(release)
	<-answer
	if h := w.history(id); h.PendingTurn != 0 || h.Messages[len(h.Messages)-1].Text != "At last: bye" {
		t.Errorf("stored %+v", h)
	}
	if d := w.lastDone(); d.Class != "" || d.Conversation != id {
		t.Errorf("done says %+v", d)
	}

	asked := w.agent.asked()
	rec := <-w.async(ctx, send(id, "too late"))
	if rec.Code != noAnswer || w.agent.asked() != asked || w.lastDone().Class != classClientCanceled {
		t.Errorf("status %d, done %+v", rec.Code, w.lastDone())
	}
}

func TestAgentFailureIsKept(t *testing.T) {
	w := newHarness(t, failingAgent(&copilot.Error{Op: "turn", Kind: copilot.ErrServer, Status: 500}))
	id := w.start()
	rec := w.must(502, send(id, "hello"))
	if got := field[string](t, rec, "conversationId"); got != id {
		t.Errorf("conversationId %q", got)
	}
	if d := w.lastDone(); d.Class != "upstream_error" || d.Stage != turn.StageUpstream {
		t.Errorf("done says %+v", d)
	}
	if h := w.history(id); len(h.Failures) != 1 || h.Failures[0].Class != "upstream_error" || len(h.Messages) != 2 {
		t.Errorf("stored %+v", h)
	}
	// The front end repeats it without a key: no second message of the user.
	w.agent.turn = nil
	w.must(200, send(id, "hello"))
	if h := w.history(id); len(h.Failures) != 0 || len(h.Messages) != 3 {
		t.Errorf("stored %+v", h)
	}
}

func TestFailedStartLeavesNothing(t *testing.T) {
	agent := &fakeAgent{start: func(context.Context, copilot.Start) iter.Seq2[copilot.Event, error] {
		return broken(&copilot.Error{Op: "start", Kind: copilot.ErrUnreachable})
	}}
	w := newHarness(t, agent)
	rec := w.must(502, post("/api/chat/start", "{}").with("Idempotency-Key", "k1"))
	if strings.Contains(rec.Body.String(), "conversationId") {
		t.Errorf("an answer names a conversation that is not there: %s", rec.Body)
	}
	if got := w.must(200, get("/api/chat/conversations")).Body.String(); got != "{\"conversations\":[]}\n" {
		t.Errorf("list %s", got)
	}
	agent.start = nil
	w.must(200, post("/api/chat/start", "{}").with("Idempotency-Key", "k1"))
}

// RESIL-01: with the store down the agent is not asked, and the answer is 503.
func TestStoreDownBeforeTheTurn(t *testing.T) {
	for _, body := range []call{{Method: "POST", Path: "/api/chat/start"}, send(unknown, "x"), post("/api/chat/orchestrate", `{"query":"x"}`), post("/api/chat/card-action", strings.Replace(cardBody, "ID", unknown, 1))} {
		w := newHarness(t, nil)
		w.store.failOn("BeginTurn", &store.Error{Op: "BeginTurn", Kind: store.ErrUnreachable})
		w.must(503, body)
		if d := w.lastDone(); d.Class != "store_unreachable" || d.Stage != turn.StageBegin || w.agent.asked() != 0 {
			t.Errorf("%s: done %+v, agent asked %d times", body.Path, d, w.agent.asked())
		}
	}
}

func TestStoreDownAtTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, nil, func(c *Config) { c.Now = time.Now })
		id := w.start()
		w.store.resetCalls()
		w.store.failOn("CompleteTurn", &store.Error{Op: "CompleteTurn", Kind: store.ErrTimeout})
		w.must(503, send(id, "x"))
		if d := w.lastDone(); d.Class != "store_timeout" || d.Stage != turn.StageComplete {
			t.Errorf("done says %+v", d)
		}
		if got := w.store.callNames(); !slices.Equal(got[:2], []string{"BeginTurn", "CompleteTurn"}) || slices.Contains(got, "FailTurn store_timeout") {
			t.Errorf("calls %v", got)
		}
		if got := store.AsTimeout("CompleteTurn", fmt.Errorf("x: %w", context.DeadlineExceeded)); Class(got) != classStoreTimeout {
			t.Errorf("our own limit is %s", Class(got))
		}
	})
}

func TestAgentsErrorOutlivesTheStores(t *testing.T) {
	w := newHarness(t, failingAgent(&copilot.Error{Op: "turn", Kind: copilot.ErrInterrupted}))
	id := w.start()
	w.store.failOn("FailTurn upstream_interrupted", &store.Error{Op: "FailTurn", Kind: store.ErrFull})
	rec := w.must(502, send(id, "x"))
	if got := field[string](t, rec, "class"); got != "upstream_interrupted" || !strings.Contains(w.logs.String(), `"store_class":"store_full"`) {
		t.Errorf("class %s, log %s", got, w.logs)
	}
}

func TestPanicInTheAgentFailsTheTurn(t *testing.T) {
	w := newHarness(t, &fakeAgent{turn: func(context.Context, copilot.Turn) iter.Seq2[copilot.Event, error] { panic("oh") }})
	id := w.start()
	w.must(500, send(id, "x"))
	if h := w.history(id); len(h.Failures) != 1 || h.Failures[0].Class != classPanic {
		t.Errorf("stored %+v", h)
	}
}

// What comes between the agent's answer and the commit is covered as well.
func TestPanicAfterTheAgentFailsTheTurn(t *testing.T) {
	ids, last := 0, math.MaxInt
	w := newHarness(t, nil, func(c *Config) {
		fresh := c.NewID
		c.NewID = func() string {
			if ids++; ids > last {
				panic("no ids left")
			}
			return fresh()
		}
	})
	id := w.start()
	ids, last = 0, 1 // the user's message gets one, the agent's does not
	w.must(500, send(id, "x"))
	if h := w.history(id); ids != 2 || len(h.Failures) != 1 || h.Failures[0].Class != classPanic {
		t.Errorf("stored %+v", h)
	}
}

func TestKeyedReplay(t *testing.T) {
	w := newHarness(t, answeringAgent(copilot.Message{ID: "act-1", Text: "Take it.", Value: []byte(`{"permit":7}`), ErrorCode: ""}))
	id := w.start()
	for _, c := range []call{
		{Method: "POST", Path: "/api/chat/start"},
		post("/api/chat/send", `{"conversationId":"`+id+`","text":"a","workflowContext":`+flow+`}`),
		post("/api/chat/card-action", strings.Replace(cardBody, "ID", id, 1)),
		post("/api/chat/orchestrate", `{"query":"a","workflowContext":`+flow+`}`),
	} {
		c = c.with("Idempotency-Key", "key-"+c.Path)
		first := w.must(200, c)
		asked, seen := w.agent.asked(), len(w.store.callNames())
		// The same request, written differently.
		c.Body = strings.ReplaceAll(c.Body, `"b":1,"a":[2]`, `"a": [2], "b":1`)
		second := w.must(200, c)
		if first.Header().Get("Idempotency-Replayed") != "" || second.Header().Get("Idempotency-Replayed") != "true" {
			t.Errorf("%s: headers %v", c.Path, second.Header())
		}
		again := strings.ReplaceAll(second.Body.String(), `"a":[2],"b":1`, `"b":1,"a":[2]`)
		if first.Body.String() != again {
			t.Errorf("%s: first %s, then %s", c.Path, first.Body, again)
		}
		if w.agent.asked() != asked || len(w.store.callNames()) != seen+1 || !w.lastDone().Replayed {
			t.Errorf("%s: asked again", c.Path)
		}
	}
	rec := w.must(422, send(id, "other").with("Idempotency-Key", "key-/api/chat/send"))
	if field[string](t, rec, "class") != "idempotency_mismatch" {
		t.Error(rec.Body)
	}
	w.must(422, post("/api/chat/orchestrate", `{"query":"a"}`).with("Idempotency-Key", "key-/api/chat/start"))
}

func TestKeyedAdoption(t *testing.T) {
	w := newHarness(t, failingAgent(&copilot.Error{Op: "turn", Kind: copilot.ErrTimeout}))
	id := w.start()
	c := send(id, "hello").with("Idempotency-Key", "k")
	w.must(504, c)
	w.agent.turn = nil
	w.must(200, c)
	if h := w.history(id); len(h.Messages) != 3 || h.Turns != 1 || len(h.Failures) != 0 {
		t.Errorf("stored %+v", h)
	}
}

// What a repeat without a key finished is the answer of the key, as a whole.
func TestKeyGetsWhatARepeatFinished(t *testing.T) {
	w := newHarness(t, failingAgent(&copilot.Error{Op: "turn", Kind: copilot.ErrTimeout}))
	c := post("/api/chat/send", `{"conversationId":"`+w.start()+`","text":"a","workflowContext":`+flow+`}`)
	keyed := c.with("Idempotency-Key", "k")
	w.must(504, keyed)
	w.agent.turn = nil
	finished, replayed := w.must(200, c), w.must(200, keyed)
	if got := strings.ReplaceAll(replayed.Body.String(), `"a":[2],"b":1`, `"b":1,"a":[2]`); got != finished.Body.String() {
		t.Errorf("finished as %s, replayed as %s", finished.Body, got)
	}
	if replayed.Header().Get("Idempotency-Replayed") != "true" {
		t.Error("not a replay")
	}
}

func TestStartID(t *testing.T) {
	o := store.Owner{Tenant: "ab", User: "c"}
	id := startID(o, "k")
	if got, err := conversationID(id); err != nil || got != id || id[14] != '4' || !strings.Contains("89ab", id[19:20]) {
		t.Errorf("%s is no UUID of version 4", id)
	}
	for _, other := range []string{startID(store.Owner{Tenant: "a", User: "bc"}, "k"), startID(store.Owner{Tenant: "ab", User: "ck"}, ""), startID(o, "K")} {
		if other == id {
			t.Error("two callers share an id")
		}
	}
}

func TestUpstreamConversationIsLost(t *testing.T) {
	w := newHarness(t, &fakeAgent{turn: func(context.Context, copilot.Turn) iter.Seq2[copilot.Event, error] {
		return events(copilot.Event{Kind: copilot.EventConversation, ConversationID: "up-new", Restarted: true}, messageEvent(copilot.Message{Text: "Who are you?"}))
	}})
	id := w.start()
	rec := w.must(200, send(id, "hello"))
	if !field[bool](t, rec, "conversationRestarted") || w.history(id).UpstreamID != "up-new" || !w.lastDone().Restarted {
		t.Errorf("%s", rec.Body)
	}
}

// A legacy record knows no upstream conversation.
func TestUpstreamConversationWasNeverKept(t *testing.T) {
	w := newHarness(t, nil)
	o := store.Owner{Tenant: store.DefaultTenant, User: store.DefaultUser}
	held, err := w.store.BeginTurn(t.Context(), store.Begin{Owner: o, Conversation: unknown, New: true, Fingerprint: "f"})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.CompleteTurn(t.Context(), held, store.Completion{}); err != nil {
		t.Fatal(err)
	}
	rec := w.must(200, send(unknown, "hello"))
	if !w.agent.starts[0].Silent || w.history(unknown).UpstreamID != "up-1" || len(field[[]store.Message](t, rec, "messages")) != 1 {
		t.Errorf("%s, asked %+v", rec.Body, w.agent.starts)
	}
}

func TestAgentWithoutAConversationID(t *testing.T) {
	w := newHarness(t, &fakeAgent{start: func(context.Context, copilot.Start) iter.Seq2[copilot.Event, error] { return events() }})
	w.must(502, post("/api/chat/orchestrate", `{"query":"x"}`))
	if w.agent.asked() != 1 {
		t.Error("a turn was sent to no conversation")
	}
}

// Data that comes without anything to show makes no message: it is in the answer,
// and in the replay of it.
func TestDataAlone(t *testing.T) {
	w := newHarness(t, answeringAgent(copilot.Message{Value: json.RawMessage(`{"permit":7}`)}))
	id := w.start()
	c := send(id, "x").with("Idempotency-Key", "k")
	first, again := w.must(200, c), w.must(200, c)
	for _, rec := range []*httptest.ResponseRecorder{first, again} {
		if p := field[store.Payload](t, rec, "extractedPayload"); string(p.Data) != `{"permit":7}` || len(field[[]store.Message](t, rec, "messages")) != 0 {
			t.Errorf("%s", rec.Body)
		}
	}
	rec := w.must(200, post("/api/chat/orchestrate", `{"query":"x"}`))
	if p := field[store.Payload](t, rec, "extractedPayload"); string(p.Data) != `{"permit":7}` {
		t.Errorf("%s", rec.Body)
	}
	if h := w.history(id); len(h.Messages) != 2 {
		t.Errorf("stored %+v", h.Messages)
	}
}
