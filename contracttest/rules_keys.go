package contracttest

import (
	"encoding/json"

	"parley/store"
)

// keyRules are about idempotency keys: S9 and S10.
func keyRules() []Rule {
	return []Rule{
		{ID: "S9.replay", Sentence: "the same key and input after the turn completed give the stored outcome and change nothing", check: keyReplays},
		{ID: "S9.replay-later", Sentence: "a replay is the answer of its own turn, also after later turns", check: keyReplaysLater},
		{ID: "S9.replay-closed", Sentence: "the turn that closed a conversation can still be replayed", check: keyReplaysClosed},
		{ID: "S9.busy", Sentence: "the same key while its turn is held is refused as any begin", check: keyIsBusy},
		{ID: "S9.busy-closed", Sentence: "a repeat of the turn that is held is told that it runs although the conversation was closed, and other input that it is closed", check: repeatIsBusyThoughClosed},
		{ID: "S9.failed", Sentence: "the same key after its turn failed adopts it: same number, higher fence, no second user message", check: keyAdoptsFailed},
		{ID: "S9.lapsed", Sentence: "the same key after its turn lapsed adopts it", check: keyAdoptsLapsed},
		{ID: "S9.start", Sentence: "a start with a key is replayed when it completed and adopted when it lapsed", check: keyedStart},
		{ID: "S9.handed-on", Sentence: "when a repeat without a key finishes the turn of a key, the key has its answer", check: keyHandedOn},
		{ID: "S9.other", Sentence: "another key with the same input is another turn", check: otherKeyIsOther},
		{ID: "S10.mismatch", Sentence: "the same key with another input is refused and changes nothing", check: keyMismatch},
		{ID: "S10.start", Sentence: "the key of a start and the same key of a later turn are two", check: startKeyIsApart},
	}
}

func keyReplays(e *env) {
	id := e.start()
	b := e.keyed(id, "question", "key one")
	c := store.Completion{Outcome: store.Outcome{Messages: answered("one", "two"), Extra: json.RawMessage(`{"latencyMs": 12}`)}}
	e.complete(e.begin(b), c)
	before := e.get(id)
	for range 2 {
		t := e.begin(b)
		if t.Replay == nil {
			e.broken("no replay: %+v", t)
		}
		e.same("messages", t.Replay.Messages, of(1, c.Messages))
		e.same("extra", string(t.Replay.Extra), `{"latencyMs": 12}`)
	}
	e.same("conversation", e.get(id), before)
	e.same("number of the next turn", e.begin(e.input(id, "next")).Number, 2)
}

func keyReplaysLater(e *env) {
	id := e.start()
	for _, word := range []string{"one", "two", "three"} {
		e.complete(e.begin(e.keyed(id, word, "key "+word)), reply("answer "+word))
	}
	held := e.begin(e.input(id, "four"))
	for _, word := range []string{"two", "one", "three"} {
		t := e.begin(e.keyed(id, word, "key "+word))
		if t.Replay == nil {
			e.broken("no replay of %s: %+v", word, t)
		}
		e.same("replayed", texts(t.Replay.Messages), []string{"answer " + word})
	}
	e.complete(held, reply("answer four"))
}

func keyReplaysClosed(e *env) {
	id := e.start()
	b := e.keyed(id, "stop", "k")
	c := reply("bye")
	c.Ended = true
	e.complete(e.begin(b), c)
	t := e.begin(b)
	if t.Replay == nil {
		e.broken("no replay: %+v", t)
	}
	e.same("replayed", texts(t.Replay.Messages), []string{"bye"})
}

func keyIsBusy(e *env) {
	id := e.start()
	b := e.keyed(id, "question", "k")
	t := e.begin(b)
	_, err := e.Store.BeginTurn(e.Context(), b)
	e.busy(err, 1)
	e.complete(t, reply("answer"))
}

func repeatIsBusyThoughClosed(e *env) {
	for _, key := range []string{"", "k"} {
		id := e.start()
		b := e.keyed(id, "question", key)
		t := e.begin(b)
		_, err := e.Store.SetStatus(e.Context(), e.owner, id, store.StatusCompleted)
		e.must(err, "SetStatus")
		_, err = e.Store.BeginTurn(e.Context(), b)
		e.busy(err, 1)
		_, err = e.Store.BeginTurn(e.Context(), e.input(id, "other"))
		e.refused(err, store.ErrClosed, "BeginTurn with other input")
		e.complete(t, reply("answer"))
		again, err := e.Store.BeginTurn(e.Context(), b)
		if key == "" {
			e.refused(err, store.ErrClosed, "BeginTurn after the turn completed")
			continue
		}
		e.must(err, "BeginTurn after the turn completed")
		if again.Replay == nil {
			e.broken("no replay afterwards: %+v", again)
		}
	}
}

func keyAdoptsFailed(e *env) {
	id := e.start()
	b := e.keyed(id, "question", "k")
	failed := e.begin(b)
	e.fail(failed, "upstream_error")
	again := e.begin(b)
	if !again.Adopted || again.Number != failed.Number || again.Fence <= failed.Fence || again.Replay != nil {
		e.broken("the repeat came as %+v after %+v", again, failed)
	}
	e.complete(again, reply("answer"))
	c := e.get(id)
	e.same("texts", texts(c.Messages), []string{"hello", "question", "answer"})
	e.same("failures", c.Failures, []store.TurnFailure(nil))
	if t := e.begin(b); t.Replay == nil {
		e.broken("no replay afterwards: %+v", t)
	}
}

func keyAdoptsLapsed(e *env) {
	id := e.start()
	b := e.keyed(id, "question", "k")
	e.begin(b)
	e.lapse()
	again := e.begin(b)
	if !again.Adopted || again.Number != 1 {
		e.broken("the repeat came as %+v", again)
	}
	e.complete(again, reply("answer"))
	e.same("texts", texts(e.get(id).Messages), []string{"hello", "question", "answer"})
}

func keyedStart(e *env) {
	b := e.starting()
	b.Key = "start"
	e.begin(b)
	_, err := e.Store.BeginTurn(e.Context(), b)
	e.busy(err, 0)
	e.lapse()
	again := e.begin(b)
	if !again.Adopted || !again.New {
		e.broken("the repeat came as %+v", again)
	}
	e.gone(b.Conversation)
	e.complete(again, reply("hello"))
	t := e.begin(b)
	if t.Replay == nil {
		e.broken("no replay: %+v", t)
	}
	e.same("replayed", texts(t.Replay.Messages), []string{"hello"})
	e.same("number of the next turn", e.begin(e.input(b.Conversation, "question")).Number, 1)
}

func keyHandedOn(e *env) {
	id := e.start()
	b := e.keyed(id, "question", "k")
	e.fail(e.begin(b), "upstream_error")
	e.complete(e.begin(e.input(id, "question")), reply("answer"))
	t := e.begin(b)
	if t.Replay == nil {
		e.broken("no replay: %+v", t)
	}
	e.same("replayed", texts(t.Replay.Messages), []string{"answer"})
}

func otherKeyIsOther(e *env) {
	id := e.start()
	e.fail(e.begin(e.keyed(id, "question", "k1")), "upstream_error")
	t := e.begin(e.keyed(id, "question", "k2"))
	if t.Adopted || t.Number != 2 {
		e.broken("the other key came as %+v", t)
	}
}

func keyMismatch(e *env) {
	id := e.start()
	b := e.keyed(id, "question", "k")
	t := e.begin(b)
	_, err := e.Store.BeginTurn(e.Context(), e.keyed(id, "other", "k"))
	e.refused(err, store.ErrMismatch, "BeginTurn while the turn runs")
	e.complete(t, reply("answer"))
	_, err = e.Store.BeginTurn(e.Context(), e.keyed(id, "other", "k"))
	e.refused(err, store.ErrMismatch, "BeginTurn after it completed")
	e.same("texts", texts(e.get(id).Messages), []string{"hello", "question", "answer"})
}

func startKeyIsApart(e *env) {
	b := e.starting()
	b.Key = "k"
	e.complete(e.begin(b), reply("hello"))
	turn := e.keyed(b.Conversation, "question", "k")
	t := e.begin(turn)
	e.same("number of the turn", t.Number, 1)
	e.complete(t, reply("answer"))
	for want, b := range map[string]store.Begin{"hello": b, "answer": turn} {
		again := e.begin(b)
		if again.Replay == nil {
			e.broken("no replay of %s: %+v", want, again)
		}
		e.same("replayed", texts(again.Replay.Messages), []string{want})
	}
}
