package contracttest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"parley/store"
)

// relayRules are about turns that are followed, joined and stopped from another
// instance: S26 to S30.
func relayRules() []Rule {
	return []Rule{
		{ID: "S26.entries", Sentence: "what a turn publishes is followed through any handle, in order, from any position", check: entriesAreFollowed},
		{ID: "S26.snapshot", Sentence: "a snapshot drops what came before it, and an increment without anything to continue is not kept", check: snapshotsReplace},
		{ID: "S26.stale", Sentence: "only the turn that runs publishes, and what another published is not followed", check: onlyHolderPublishes},
		{ID: "S26.ends", Sentence: "what a turn has published ends when nobody uses it", check: relayEnds},
		{ID: "S27.listened", Sentence: "a turn that is followed is told so for a while, and one that is not never is", check: interestIsTold},
		{ID: "S28.outcome", Sentence: "who follows a turn learns whether it runs, who holds it, and how it ended", check: outcomeIsTold},
		{ID: "S29.stop", Sentence: "the turn that is held is told to stop, and no other", check: stopIsTold},
		{ID: "S30.same", Sentence: "a conversation that is held says whether it is by the turn of the same request", check: sameIsTold},
		{ID: "S26.no-trace", Sentence: "nothing that was published is kept without an end, or left after a delete", Needs: Keys, check: relayLeavesNothing},
	}
}

func (e *env) follow(id string, from int) store.Relayed {
	e.Helper()
	r, err := e.Reopen(e).Follow(e.Context(), store.Follow{Owner: e.owner, Conversation: id, From: from})
	e.must(err, "Follow")
	return r
}

func (e *env) publish(t store.Turn, data string, snapshot bool) (kept bool) {
	e.Helper()
	kept, _, err := e.Store.Publish(e.Context(), t, store.Entry{Data: json.RawMessage(data), Snapshot: snapshot})
	e.must(err, "Publish")
	return kept
}

func (e *env) signals(t store.Turn) store.Signals {
	e.Helper()
	s, err := e.Store.RenewLease(e.Context(), t)
	e.must(err, "RenewLease")
	return s
}

func entriesOf(r store.Relayed) string {
	out := make([]string, len(r.Entries))
	for i, each := range r.Entries {
		out[i] = string(each)
	}
	return strings.Join(out, " ")
}

func entriesAreFollowed(e *env) {
	id := e.start()
	t := e.begin(e.input(id, "question"))
	var want []string
	for n := range 4 {
		want = append(want, fmt.Sprintf("{%q:%q}", "n", fmt.Sprint(n, strange)))
		if !e.publish(t, want[n], n == 0) {
			e.broken("entry %d was not kept", n)
		}
	}
	for from := range want {
		r := e.follow(id, from)
		e.same(fmt.Sprintf("entries from %d", from), entriesOf(r), strings.Join(want[from:], " "))
		e.same("next", r.Next, len(want))
	}
	e.same("entries that were seen", entriesOf(e.follow(id, len(want))), "")
}

func snapshotsReplace(e *env) {
	id := e.start()
	t := e.begin(e.input(id, "question"))
	if e.publish(t, `"increment"`, false) {
		e.broken("an increment of nothing was kept")
	}
	e.publish(t, `"one"`, true)
	e.publish(t, `"two"`, false)
	before := e.follow(id, 0)
	e.publish(t, `"both"`, true)
	e.publish(t, `"three"`, false)
	e.same("entries", entriesOf(e.follow(id, 0)), `"both" "three"`)
	e.same("entries since then", entriesOf(e.follow(id, before.Next)), `"both" "three"`)
	e.same("last", entriesOf(e.follow(id, e.follow(id, 0).Next-1)), `"three"`)
}

func onlyHolderPublishes(e *env) {
	id := e.start()
	old := e.begin(e.input(id, "question"))
	e.publish(old, `"old"`, true)
	e.lapse()
	taken := e.begin(e.input(id, "question"))
	_, _, err := e.Store.Publish(e.Context(), old, store.Entry{Data: json.RawMessage(`"late"`)})
	e.refused(err, store.ErrStale, "Publish of a turn that was taken over")
	e.same("entries of the turn that took over", entriesOf(e.follow(id, 0)), "")
	if e.publish(taken, `"increment"`, false) {
		e.broken("the increment continued what another turn said")
	}
	e.complete(taken, reply("answer"))
	_, _, err = e.Store.Publish(e.Context(), taken, store.Entry{Data: json.RawMessage(`"late"`), Snapshot: true})
	e.refused(err, store.ErrStale, "Publish of a turn that ended")
}

func relayEnds(e *env) {
	id := e.start()
	t := e.begin(e.input(id, "question"))
	e.publish(t, `"one"`, true)
	for range 3 { // it is used
		e.Advance(e, store.RelayTime*2/3)
		e.same("entries", entriesOf(e.follow(id, 0)), `"one"`)
	}
	e.Advance(e, store.RelayTime+time.Second)
	e.same("entries after their time", entriesOf(e.follow(id, 0)), "")
	if e.publish(t, `"two"`, false) {
		e.broken("an increment continued what has ended")
	}
}

func interestIsTold(e *env) {
	id := e.start()
	t := e.begin(e.input(id, "question"))
	e.same("signals before", e.signals(t), store.Signals{})
	e.follow(id, 0)
	e.same("signals", e.signals(t), store.Signals{Listened: true})
	_, s, err := e.Store.Publish(e.Context(), t, store.Entry{Data: json.RawMessage("1"), Snapshot: true})
	e.must(err, "Publish")
	e.same("signals of Publish", s, store.Signals{Listened: true})
	e.Advance(e, store.InterestTime/2)
	e.follow(id, 0) // prolongs it
	e.Advance(e, store.InterestTime*3/4)
	e.same("signals while it is followed", e.signals(t), store.Signals{Listened: true})
	e.Advance(e, store.InterestTime)
	e.same("signals after", e.signals(t), store.Signals{})
}

func outcomeIsTold(e *env) {
	id := e.start()
	t := e.begin(e.input(id, "one"))
	want := store.Relayed{Turn: 1, Fence: t.Fence, State: store.TurnRunning, Held: true}
	e.same("of a turn that runs", e.follow(id, 0), want)
	e.lapse()
	want.Held = false
	e.same("of a turn that lapsed", e.follow(id, 0), want)
	c := reply("answer")
	c.Extra = json.RawMessage(`{"a":1}`)
	e.complete(t, c)
	want.State, want.Extra = store.TurnCompleted, c.Extra
	done := e.follow(id, 0)
	want.Next = done.Next // the end may count as an entry
	e.same("of a turn that completed", done, want)

	t = e.begin(e.input(id, "two"))
	e.complete(t, c)
	e.same("of a turn that nobody followed", e.follow(id, 0), store.Relayed{Turn: 2, Fence: t.Fence, State: store.TurnCompleted})
	t = e.begin(e.input(id, "three"))
	e.follow(id, 0)
	e.fail(t, "upstream_error")
	e.same("of a turn that failed", e.follow(id, 0), store.Relayed{Turn: 3, Fence: t.Fence, State: store.TurnFailed, Class: "upstream_error"})

	b := e.starting()
	t = e.begin(b)
	_, err := e.Store.Follow(e.Context(), store.Follow{Owner: e.owner, Conversation: b.Conversation})
	e.refused(err, store.ErrNotFound, "Follow of a conversation that is being started")
	r, err := e.Store.Follow(e.Context(), store.Follow{Owner: e.owner, Conversation: b.Conversation, New: true})
	e.must(err, "Follow by one that starts it as well")
	e.same("of a start", r, store.Relayed{Fence: t.Fence, State: store.TurnRunning, Held: true})
	_, err = e.Store.Follow(e.Context(), store.Follow{Owner: NewOwner(), Conversation: id})
	e.refused(err, store.ErrNotFound, "Follow by another owner")
}

func stopIsTold(e *env) {
	id := e.start()
	stop := func(number int, running bool) {
		e.Helper()
		n, is, err := e.Reopen(e).Stop(e.Context(), e.owner, id)
		e.must(err, "Stop")
		if n != number || is != running {
			e.broken("Stop gave turn %d, running %t; want %d, %t", n, is, number, running)
		}
	}
	stop(0, false)
	first := e.begin(e.input(id, "one"))
	e.same("signals before", e.signals(first), store.Signals{})
	before := e.get(id)
	stop(1, true)
	stop(1, true)
	e.same("conversation", e.get(id), before)
	e.same("signals", e.signals(first), store.Signals{Stop: true})
	e.lapse()
	stop(1, false)
	taken := e.begin(e.input(id, "one"))
	e.same("signals of the turn that took over", e.signals(taken), store.Signals{})
	e.complete(taken, reply("answer"))
	stop(1, false)
	e.same("signals of the next turn", e.signals(e.begin(e.input(id, "two"))), store.Signals{})
	_, _, err := e.Store.Stop(e.Context(), NewOwner(), id)
	e.refused(err, store.ErrNotFound, "Stop by another owner")
}

func sameIsTold(e *env) {
	expect := func(b store.Begin, want bool, what string) {
		e.Helper()
		_, err := e.Store.BeginTurn(e.Context(), b)
		var busy *store.BusyError
		if e.busy(err, 1); errors.As(err, &busy) && busy.Same != want {
			e.broken("%s: same is %t", what, busy.Same)
		}
	}
	id := e.start()
	t := e.begin(e.input(id, "question"))
	expect(e.input(id, "question"), true, "the same input")
	expect(e.input(id, "other"), false, "other input")
	expect(e.keyed(id, "question", "k"), false, "the same input with a key")
	for range 13 {
		e.Advance(e, store.LeaseTime-time.Second/4)
		e.signals(t)
	}
	expect(e.input(id, "question"), false, "the same input, long after the turn began")

	id = e.start()
	t = e.begin(e.keyed(id, "question", "k"))
	expect(e.keyed(id, "question", "k"), true, "the same key")
	expect(e.keyed(id, "question", "k2"), false, "another key")
	expect(e.input(id, "question"), false, "no key")
	for range 13 {
		e.Advance(e, store.LeaseTime-time.Second/4)
		e.signals(t)
	}
	expect(e.keyed(id, "question", "k"), true, "the same key, long after the turn began")
}

func relayLeavesNothing(e *env) {
	b := e.starting()
	started := e.begin(b)
	e.publish(started, `"greeting"`, true)
	id := e.start()
	e.publish(e.begin(e.input(id, "question")), `"said"`, true)
	e.follow(id, 0)
	for _, k := range e.Keys(e) {
		if k.TTL <= 0 {
			e.broken("%s has no time to live", k.Name)
		}
	}
	e.fail(started, "upstream_error")
	e.must(e.Store.Delete(e.Context(), e.owner, id), "Delete")
	for _, k := range e.Keys(e) {
		if strings.Contains(k.Name, id) || strings.Contains(k.Name, b.Conversation) {
			e.broken("%s is left", k.Name)
		}
	}
}
