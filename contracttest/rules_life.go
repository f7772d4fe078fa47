package contracttest

import (
	"context"
	"strings"
	"time"

	"parley/store"
)

// lifeRules are about how long things last and who else sees them: S15 to S18
// and S20.
func lifeRules() []Rule {
	return []Rule{
		{ID: "S15.expires", Sentence: "a conversation is gone when its time to live has passed since the last write", check: expires},
		{ID: "S15.renewed", Sentence: "every write renews the time to live of the whole conversation", check: writesRenew},
		{ID: "S15.nine-tenths", Sentence: "a conversation is kept for nine tenths of its time to live after each write, however soon that followed another", check: eachWriteRenews},
		{ID: "S15.every-key", Sentence: "nothing is kept without a time to live, whatever was done", Needs: Keys, check: everyKeyExpires},
		{ID: "S15.by-itself", Sentence: "the place drops an expired conversation by its own clock", Needs: OwnClock, check: expiresByItself},
		{ID: "S16.status", Sentence: "a change of status changes status and updatedAt and nothing else", check: statusChanges},
		{ID: "S16.held", Sentence: "a turn that is held completes although the conversation was closed meanwhile", check: heldTurnCompletes},
		{ID: "S17.delete", Sentence: "after a delete nothing is found, the idempotency keys included, and a held turn is not found", check: deleteForgets},
		{ID: "S17.no-trace", Sentence: "after a delete no key is left", Needs: Keys, check: deleteLeavesNoKey},
		{ID: "S18.canceled", Sentence: "a call whose context is done returns the context's error and has no effect", check: canceledDoesNothing},
		{ID: "S20.handles", Sentence: "what is written through one handle is there for another", check: handlesAgree},
		{ID: "S20.scripts", Sentence: "a server that lost its scripts is no reason to fail", Needs: Scripts, check: scriptsFlushed},
		{ID: "S25.lost", Sentence: "when a conversation that is being started is gone, its turn says that it was lost, and failing it is no error", check: lostStart},
	}
}

func expires(e *env) {
	id := e.start()
	e.Advance(e, e.TTL-time.Second)
	e.get(id)
	e.Advance(e, 2*time.Second)
	e.gone(id)
}

func writesRenew(e *env) {
	id := e.start()
	most := e.TTL - time.Minute
	b := e.keyed(id, "question", "k")
	var t store.Turn
	for _, write := range []func(){
		func() { t = e.begin(b) },
		func() { e.fail(t, "upstream_error") },
		func() { t = e.begin(b) },
		func() { e.complete(t, reply("answer")) },
		func() {
			_, err := e.Store.SetStatus(e.Context(), e.owner, id, store.StatusAbandoned)
			e.must(err, "SetStatus")
		},
	} {
		e.Advance(e, most)
		write()
	}
	e.Advance(e, most)
	e.same("texts", texts(e.get(id).Messages), []string{"hello", "question", "answer"})
	e.same("listed", ids(e.list(store.Page{}).Conversations), []string{id})
	if again := e.begin(b); again.Replay == nil {
		e.broken("the idempotency key did not live as long as its conversation: %+v", again)
	}
}

// eachWriteRenews has writes follow each other so closely that a store may take some of
// them together.
func eachWriteRenews(e *env) {
	id, left := e.start(), e.start()
	for range 12 {
		e.Advance(e, e.TTL*2/25)
		for _, id := range []string{id, left} {
			_, err := e.Store.SetStatus(e.Context(), e.owner, id, store.StatusActive)
			e.must(err, "SetStatus")
		}
	}
	e.Advance(e, e.TTL*9/10-time.Second)
	e.complete(e.begin(e.input(id, "question")), reply("answer"))
	e.Advance(e, e.TTL/10+2*time.Second)
	e.same("texts", texts(e.get(id).Messages), []string{"hello", "question", "answer"})
	e.gone(left)
	e.same("listed", ids(e.list(store.Page{}).Conversations), []string{id})
}

// everything leaves a conversation in each state that there is.
func (e *env) everything() []string {
	e.Helper()
	started := e.starting()
	started.Key = "k0"
	e.begin(started)
	failed := e.start()
	e.fail(e.begin(e.keyed(failed, "q", "k1")), "upstream_error")
	held := e.start()
	e.must(e.renew(e.begin(e.keyed(held, "q", "k2"))), "RenewLease")
	done := e.start()
	e.complete(e.begin(e.keyed(done, "q", "k3")), reply("a"))
	closed := e.start()
	_, err := e.Store.SetStatus(e.Context(), e.owner, closed, store.StatusCompleted)
	e.must(err, "SetStatus")
	return []string{failed, held, done, closed}
}

func everyKeyExpires(e *env) {
	e.everything()
	kept := e.Keys(e)
	if len(kept) < 10 {
		e.broken("only %d keys were found", len(kept))
	}
	for _, k := range kept {
		if k.TTL <= 0 || k.TTL > e.TTL {
			e.broken("%s lives for %v", k.Name, k.TTL)
		}
		for _, personal := range []string{e.owner.User, e.owner.Tenant} {
			if strings.Contains(k.Name, personal) {
				e.broken("%s names its owner", k.Name)
			}
		}
	}
}

// expiresByItself is the one rule that waits for real.
func expiresByItself(e *env) {
	const ttl = 300 * time.Millisecond
	e.Store = e.Instance(e, ttl, 0)
	id := e.start()
	e.ends(id, 20*ttl)
	e.gone(id)
}

func statusChanges(e *env) {
	id := e.start()
	e.complete(e.begin(e.keyed(id, "q", "k")), reply("a"))
	want := e.get(id)
	e.Advance(e, time.Second)
	got, err := e.Store.SetStatus(e.Context(), e.owner, id, store.StatusAbandoned)
	e.must(err, "SetStatus")
	if !got.UpdatedAt.After(want.UpdatedAt) {
		e.broken("updatedAt stayed at %v", got.UpdatedAt)
	}
	want.Status, want.UpdatedAt = store.StatusAbandoned, got.UpdatedAt
	e.same("stored", e.get(id), want)
	want.Messages = nil
	e.same("returned", got, want)
}

func heldTurnCompletes(e *env) {
	id := e.start()
	t := e.begin(e.input(id, "question"))
	_, err := e.Store.SetStatus(e.Context(), e.owner, id, store.StatusAbandoned)
	e.must(err, "SetStatus")
	e.complete(t, reply("answer"))
	c := e.get(id)
	e.same("texts", texts(c.Messages), []string{"hello", "question", "answer"})
	e.same("status", c.Status, store.StatusAbandoned)
}

func deleteForgets(e *env) {
	b := e.starting()
	b.Key = "start"
	e.complete(e.begin(b), reply("hello"))
	id := b.Conversation
	e.complete(e.begin(e.keyed(id, "q", "k")), reply("a"))
	held := e.begin(e.input(id, "question"))
	e.must(e.Store.Delete(e.Context(), e.owner, id), "Delete")
	e.gone(id)
	e.refused(e.Store.CompleteTurn(e.Context(), held, reply("late")), store.ErrNotFound, "CompleteTurn")
	e.refused(e.Store.FailTurn(e.Context(), held, "upstream_error"), store.ErrNotFound, "FailTurn")
	e.refused(e.renew(held), store.ErrNotFound, "RenewLease")
	e.gone(id)
	again := e.begin(b)
	if again.Replay != nil || again.Adopted {
		e.broken("the start's key was remembered: %+v", again)
	}
	e.complete(again, reply("hello again"))
	e.same("texts", texts(e.get(id).Messages), []string{"hello again"})
}

func deleteLeavesNoKey(e *env) {
	for _, id := range e.everything() {
		e.must(e.Store.Delete(e.Context(), e.owner, id), "Delete")
		for _, k := range e.Keys(e) {
			if strings.Contains(k.Name, id) {
				e.broken("%s is left", k.Name)
			}
		}
	}
}

func canceledDoesNothing(e *env) {
	id := e.start()
	held := e.begin(e.input(id, "question"))
	before := e.get(id)
	ctx, cancel := context.WithCancel(e.Context())
	cancel()
	s := e.Store
	for doing, call := range map[string]func() error{
		"BeginTurn":    func() error { _, err := s.BeginTurn(ctx, e.starting()); return err },
		"CompleteTurn": func() error { return s.CompleteTurn(ctx, held, reply("a")) },
		"FailTurn":     func() error { return s.FailTurn(ctx, held, "upstream_error") },
		"RenewLease":   func() error { _, err := s.RenewLease(ctx, held); return err },
		"Publish":      func() error { _, _, err := s.Publish(ctx, held, store.Entry{Snapshot: true}); return err },
		"Follow":       func() error { _, err := s.Follow(ctx, store.Follow{Owner: e.owner, Conversation: id}); return err },
		"Stop":         func() error { _, _, err := s.Stop(ctx, e.owner, id); return err },
		"Conversation": func() error { _, err := s.Conversation(ctx, e.owner, id, store.Range{}); return err },
		"List":         func() error { _, err := s.List(ctx, e.owner, store.Page{}); return err },
		"SetStatus":    func() error { _, err := s.SetStatus(ctx, e.owner, id, store.StatusCompleted); return err },
		"Delete":       func() error { return s.Delete(ctx, e.owner, id) },
		"Ping":         func() error { return s.Ping(ctx) },
	} {
		e.refused(call(), context.Canceled, doing)
	}
	expired, cancel := context.WithDeadline(e.Context(), time.Unix(0, 0))
	defer cancel()
	e.refused(s.Ping(expired), context.DeadlineExceeded, "Ping after its deadline")
	e.same("conversation", e.get(id), before)
	e.complete(held, reply("answer"))
}

func handlesAgree(e *env) {
	id := e.start()
	other := e.Reopen(e)
	t, err := other.BeginTurn(e.Context(), e.keyed(id, "question", "k"))
	e.must(err, "BeginTurn through the other handle")
	e.complete(t, reply("answer"))
	got, err := other.Conversation(e.Context(), e.owner, id, store.Range{})
	e.must(err, "Conversation through the other handle")
	e.same("conversation", got, e.get(id))
	again, err := other.BeginTurn(e.Context(), e.keyed(id, "question", "k"))
	e.must(err, "BeginTurn again through the other handle")
	if again.Replay == nil {
		e.broken("no replay through the other handle: %+v", again)
	}
	e.must(other.Ping(e.Context()), "Ping through the other handle")
}

func scriptsFlushed(e *env) {
	id := e.start()
	for n, text := range []string{"one", "two"} {
		e.FlushScripts(e)
		t := e.begin(e.input(id, text))
		e.FlushScripts(e)
		e.complete(t, reply("answer"))
		e.same("turns", e.get(id).Turns, n+1)
	}
	e.FlushScripts(e)
	e.must(e.Store.Delete(e.Context(), e.owner, id), "Delete")
}

func lostStart(e *env) {
	b := e.starting()
	t := e.begin(b)
	e.Advance(e, e.TTL+time.Second)
	e.refused(e.Store.CompleteTurn(e.Context(), t, reply("hello")), store.ErrLost, "CompleteTurn")
	e.refused(e.renew(t), store.ErrLost, "RenewLease")
	e.must(e.Store.FailTurn(e.Context(), t, "store_lost"), "FailTurn")
	e.gone(b.Conversation)
	e.complete(e.begin(b), reply("hello"))
	e.same("texts", texts(e.get(b.Conversation).Messages), []string{"hello"})
}
