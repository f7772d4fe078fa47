package contracttest

import (
	"errors"
	"sync"

	"parley/store"
)

// turnRules are about one turn at a time: S3 to S5, S12.
func turnRules() []Rule {
	return []Rule{
		{ID: "S3.begin", Sentence: "a begin numbers the turn, appends the user's message at once and raises the fence", check: beginAppends},
		{ID: "S3.first-turn", Sentence: "a conversation may be started together with its first turn", check: startWithTurn},
		{ID: "S4.conflict", Sentence: "a second begin while a turn is held is refused and changes nothing", check: secondBeginIsBusy},
		{ID: "S4.replicas", Sentence: "a turn that is held through one handle is held for every handle", check: busyAcrossHandles},
		{ID: "S4.race", Sentence: "of 100 begins at the same time exactly one wins", check: hundredBegins},
		{ID: "S5.complete", Sentence: "a completion stores messages, upstream id and updatedAt and frees the conversation", check: completeStores},
		{ID: "S5.ended", Sentence: "a completion that ended the conversation makes it completed", check: completeCloses},
		{ID: "S8.fail", Sentence: "a failed turn keeps the user's message and the class and frees the conversation", check: failKeeps},
		{ID: "S8.failed-start", Sentence: "of a conversation whose start failed nothing is left", check: failedStartLeavesNothing},
		{ID: "S12.closed", Sentence: "a conversation that its owner has completed or abandoned takes no turns until it is active again", check: closedTakesNoTurn},
	}
}

func beginAppends(e *env) {
	id := e.start()
	var fence int64
	for n := 1; n <= 3; n++ {
		b := e.input(id, "question")
		t := e.begin(b)
		if t.Number != n || t.Fence <= fence || t.Adopted || t.Replay != nil || t.UpstreamID != "upstream-1" || t.Token == "" {
			e.broken("turn %d came as %+v after fence %d", n, t, fence)
		}
		fence = t.Fence
		c := e.get(id)
		if c.PendingTurn != n || c.Turns != n {
			e.broken("pending %d of %d turns, want %d", c.PendingTurn, c.Turns, n)
		}
		e.same("last message", c.Messages[len(c.Messages)-1], of(n, b.Input)[0])
		e.complete(t, reply("answer"))
	}
	e.same("texts", texts(e.get(id).Messages), []string{"hello", "question", "answer", "question", "answer", "question", "answer"})
	if n := e.get(id).PendingTurn; n != 0 {
		e.broken("turn %d is pending after its completion", n)
	}
}

func startWithTurn(e *env) {
	b := e.starting()
	t := e.begin(b)
	messages := append(append(of(0, answered("hello")), of(1, said("question"))...), of(1, answered("answer"))...)
	e.complete(t, store.Completion{Outcome: store.Outcome{Messages: messages}, UpstreamID: "u", Turns: 1})
	c := e.get(b.Conversation)
	e.same("messages", c.Messages, messages)
	e.same("turns", c.Turns, 1)
	e.same("number of the next turn", e.begin(e.input(b.Conversation, "more")).Number, 2)
}

func secondBeginIsBusy(e *env) {
	id := e.start()
	t := e.begin(e.input(id, "first"))
	for _, text := range []string{"second", "first"} {
		_, err := e.Store.BeginTurn(e.Context(), e.input(id, text))
		e.busy(err, 1)
	}
	e.same("texts", texts(e.get(id).Messages), []string{"hello", "first"})
	e.complete(t, reply("answer"))
	e.same("number of the next turn", e.begin(e.input(id, "second")).Number, 2)
}

func busyAcrossHandles(e *env) {
	id := e.start()
	other := e.Reopen(e)
	t := e.begin(e.input(id, "first"))
	_, err := other.BeginTurn(e.Context(), e.input(id, "second"))
	e.busy(err, 1)
	e.complete(t, reply("answer"))
	if _, err := other.BeginTurn(e.Context(), e.input(id, "second")); err != nil {
		e.broken("after the completion: %v", err)
	}
	_, err = e.Store.BeginTurn(e.Context(), e.input(id, "third"))
	e.busy(err, 2)
}

func hundredBegins(e *env) {
	id := e.start()
	handles := []store.Store{e.Store, e.Reopen(e)}
	const racers = 100
	errs := make([]error, racers)
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() { _, errs[i] = handles[i%len(handles)].BeginTurn(e.Context(), e.input(id, "me")) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !errors.Is(err, store.ErrBusy) {
			e.broken("a loser got %v", err)
		}
	}
	if won != 1 {
		e.broken("%d won", won)
	}
	e.same("texts", texts(e.get(id).Messages), []string{"hello", "me"})
}

func completeStores(e *env) {
	id := e.start()
	before := e.get(id)
	e.Advance(e, 1500*1e6)
	t := e.begin(e.input(id, "question"))
	began := e.get(id).UpdatedAt
	if !began.After(before.UpdatedAt) {
		e.broken("a begin left updatedAt at %v", began)
	}
	e.Advance(e, 1500*1e6)
	c := store.Completion{Outcome: store.Outcome{Messages: answered("one", "two")}, UpstreamID: "upstream-9"}
	e.complete(t, c)
	got := e.get(id)
	e.same("texts", texts(got.Messages), []string{"hello", "question", "one", "two"})
	e.same("upstream id", got.UpstreamID, "upstream-9")
	e.same("createdAt", got.CreatedAt, before.CreatedAt)
	if !got.UpdatedAt.After(began) || got.Status != store.StatusActive {
		e.broken("updatedAt %v after %v, status %s", got.UpdatedAt, began, got.Status)
	}
	e.complete(e.begin(e.input(id, "more")), store.Completion{}) // no messages, no change of id
	e.same("upstream id after an answer that names none", e.get(id).UpstreamID, "upstream-9")
}

func completeCloses(e *env) {
	id := e.start()
	c := reply("bye")
	c.Ended = true
	e.complete(e.begin(e.input(id, "stop")), c)
	e.same("status", e.get(id).Status, store.StatusCompleted)
	e.same("listed status", e.list(store.Page{}).Conversations[0].Status, store.StatusCompleted)
}

func failKeeps(e *env) {
	id := e.start()
	e.fail(e.begin(e.input(id, "question")), "upstream_timeout")
	c := e.get(id)
	e.same("texts", texts(c.Messages), []string{"hello", "question"})
	e.same("failures", c.Failures, []store.TurnFailure{{Turn: 1, Class: "upstream_timeout"}})
	e.same("pending", c.PendingTurn, 0)
	e.complete(e.begin(e.input(id, "another")), reply("answer"))
	c = e.get(id)
	e.same("texts", texts(c.Messages), []string{"hello", "question", "another", "answer"})
	e.same("failures", c.Failures, []store.TurnFailure{{Turn: 1, Class: "upstream_timeout"}})
}

func failedStartLeavesNothing(e *env) {
	b := e.starting()
	b.Key = "start-key"
	e.fail(e.begin(b), "upstream_error")
	e.gone(b.Conversation)
	if t := e.begin(b); t.Replay != nil || t.Number != 0 {
		e.broken("the same start again came as %+v", t)
	}
}

func closedTakesNoTurn(e *env) {
	id := e.start()
	for _, s := range []store.Status{store.StatusCompleted, store.StatusAbandoned} {
		if _, err := e.Store.SetStatus(e.Context(), e.owner, id, s); err != nil {
			e.broken("SetStatus: %v", err)
		}
		_, err := e.Store.BeginTurn(e.Context(), e.input(id, "question"))
		e.refused(err, store.ErrClosed, "BeginTurn while "+string(s))
	}
	_, err := e.Store.SetStatus(e.Context(), e.owner, id, store.StatusActive)
	e.must(err, "SetStatus")
	e.same("number of the next turn", e.begin(e.input(id, "question")).Number, 1)
}
