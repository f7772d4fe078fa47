package contracttest

import (
	"time"

	"parley/store"
)

// repeatRules are about calls that come twice, late, or after somebody else:
// S6, S7, S11 and S19.
func repeatRules() []Rule {
	return []Rule{
		{ID: "S6.complete-twice", Sentence: "a completion may be repeated, also after the next begin, and appends once", check: completeTwice},
		{ID: "S6.fail-twice", Sentence: "a failure may be repeated with the same result", check: failTwice},
		{ID: "S7.stale", Sentence: "a turn whose place was taken can neither complete nor fail nor renew", check: staleIsRefused},
		{ID: "S7.lapsed", Sentence: "a lapsed lease alone takes nothing away: the turn still completes", check: lapsedStillCompletes},
		{ID: "S7.ended", Sentence: "a turn that failed cannot complete, and one that completed cannot fail", check: endedStaysEnded},
		{ID: "S11.repeat", Sentence: "without a key, the same input right after a failed turn takes that turn over without a second user message", check: repeatAdopts},
		{ID: "S11.repeat-lapsed", Sentence: "without a key, the same input after a lapsed turn takes that turn over", check: repeatAdoptsLapsed},
		{ID: "S11.other", Sentence: "other input after a lapsed turn is a new turn, and the lapsed one is kept as such", check: otherInputIsNew},
		{ID: "S11.unheard", Sentence: "without a key, the same input after an answer that nobody heard gets that answer, again and again until another turn begins or its time is over, and is no new turn", check: repeatHears},
		{ID: "S11.hearing-ends", Sentence: "once an answer that nobody heard was replayed and HearingTime is over, the same input is a new turn", check: hearingEnds},
		{ID: "S11.late", Sentence: "without a key, the same input after an answer that was stored when the lease had lapsed gets that answer, because whoever waited for it may have given up", check: lateIsUnheard},
		{ID: "S11.answered", Sentence: "the same input after an answered turn is a new turn", check: repeatAfterAnswer},
		{ID: "S19.renew", Sentence: "a renewed lease holds the conversation for a whole lease from then on", check: renewHolds},
		{ID: "S19.revive", Sentence: "a lapsed lease that nobody took can be renewed", check: renewRevives},
	}
}

// lapse lets a lease run out.
func (e *env) lapse() {
	e.Helper()
	e.Advance(e, store.LeaseTime+time.Second)
}

func completeTwice(e *env) {
	id := e.start()
	t := e.begin(e.input(id, "question"))
	answer := reply("answer")
	e.complete(t, answer)
	e.complete(t, answer)
	next := e.begin(e.input(id, "next"))
	e.complete(t, answer)
	e.same("texts", texts(e.get(id).Messages), []string{"hello", "question", "answer", "next"})
	e.complete(next, reply("answer 2"))
	e.same("texts", texts(e.get(id).Messages), []string{"hello", "question", "answer", "next", "answer 2"})
}

func failTwice(e *env) {
	id := e.start()
	t := e.begin(e.input(id, "question"))
	e.fail(t, "upstream_error")
	before := e.get(id)
	e.Advance(e, time.Second)
	e.fail(t, "upstream_error")
	e.same("conversation", e.get(id), before)
	b := e.starting()
	started := e.begin(b)
	e.fail(started, "upstream_error")
	e.fail(started, "upstream_error")
}

func staleIsRefused(e *env) {
	id := e.start()
	old := e.begin(e.input(id, "question"))
	e.lapse()
	taken := e.begin(e.input(id, "question"))
	if !taken.Adopted || taken.Number != old.Number || taken.Fence <= old.Fence {
		e.broken("the turn was taken over as %+v from %+v", taken, old)
	}
	e.refused(e.Store.CompleteTurn(e.Context(), old, reply("too late")), store.ErrStale, "CompleteTurn")
	e.refused(e.Store.FailTurn(e.Context(), old, "upstream_error"), store.ErrStale, "FailTurn")
	e.refused(e.renew(old), store.ErrStale, "RenewLease")
	c := e.get(id)
	e.same("texts", texts(c.Messages), []string{"hello", "question"})
	e.same("pending", c.PendingTurn, 1)
	e.complete(taken, reply("answer"))
	e.refused(e.Store.CompleteTurn(e.Context(), old, reply("far too late")), store.ErrStale, "CompleteTurn")
	e.same("texts", texts(e.get(id).Messages), []string{"hello", "question", "answer"})
}

func lapsedStillCompletes(e *env) {
	id := e.start()
	t := e.begin(e.input(id, "question"))
	e.lapse()
	e.complete(t, reply("answer"))
	e.same("texts", texts(e.get(id).Messages), []string{"hello", "question", "answer"})
}

func endedStaysEnded(e *env) {
	id := e.start()
	failed := e.begin(e.input(id, "one"))
	e.fail(failed, "upstream_error")
	e.refused(e.Store.CompleteTurn(e.Context(), failed, reply("late")), store.ErrStale, "CompleteTurn after FailTurn")
	e.refused(e.renew(failed), store.ErrStale, "RenewLease after FailTurn")
	done := e.begin(e.input(id, "two"))
	e.complete(done, reply("answer"))
	e.refused(e.Store.FailTurn(e.Context(), done, "upstream_error"), store.ErrStale, "FailTurn after CompleteTurn")
	e.refused(e.renew(done), store.ErrStale, "RenewLease after CompleteTurn")
	e.same("texts", texts(e.get(id).Messages), []string{"hello", "one", "two", "answer"})
}

func repeatAdopts(e *env) {
	id := e.start()
	failed := e.begin(e.input(id, "question"))
	e.fail(failed, "upstream_error")
	again := e.begin(e.input(id, "question"))
	if !again.Adopted || again.Number != failed.Number || again.Fence <= failed.Fence {
		e.broken("the repeat came as %+v after %+v", again, failed)
	}
	c := e.get(id)
	e.same("failures while the repeat runs", c.Failures, []store.TurnFailure(nil))
	e.same("pending while the repeat runs", c.PendingTurn, 1)
	e.complete(again, reply("answer"))
	e.same("texts", texts(e.get(id).Messages), []string{"hello", "question", "answer"})
}

func repeatAdoptsLapsed(e *env) {
	id := e.start()
	e.begin(e.input(id, "question"))
	e.lapse()
	again := e.begin(e.input(id, "question"))
	if !again.Adopted || again.Number != 1 {
		e.broken("the repeat came as %+v", again)
	}
	e.complete(again, reply("answer"))
	e.same("texts", texts(e.get(id).Messages), []string{"hello", "question", "answer"})
}

func otherInputIsNew(e *env) {
	id := e.start()
	e.begin(e.input(id, "one"))
	e.lapse()
	t := e.begin(e.input(id, "two"))
	if t.Adopted || t.Number != 2 {
		e.broken("other input came as %+v", t)
	}
	e.complete(t, reply("answer"))
	c := e.get(id)
	e.same("texts", texts(c.Messages), []string{"hello", "one", "two", "answer"})
	e.same("failures", c.Failures, []store.TurnFailure{{Turn: 1, Class: store.Lapsed}})
}

func repeatHears(e *env) {
	for _, lost := range []bool{false, true} {
		id := e.start()
		t := e.begin(e.input(id, "question"))
		c := reply("answer")
		c.Extra = []byte(`{"a":1}`)
		if lost { // it was stored before, and the acknowledgement got lost
			e.complete(t, c)
		}
		c.Unheard = true
		e.complete(t, c)
		e.Advance(e, 2*store.HearingTime) // it does not begin before the first replay
		for range 3 {                     // each may have been lost on its way
			again := e.begin(e.input(id, "question"))
			if again.Replay == nil {
				e.broken("the repeat came as %+v", again)
			}
			e.same("replay", *again.Replay, store.Outcome{Messages: of(1, c.Messages), Extra: c.Extra})
			e.same("texts", texts(e.get(id).Messages), []string{"hello", "question", "answer"})
			e.Advance(e, store.HearingTime/4)
		}
		e.complete(e.begin(e.input(id, "other")), reply("another"))
		if next := e.begin(e.input(id, "question")); next.Replay != nil {
			e.broken("it was told after another turn: %+v", next)
		}
		e.same("texts", texts(e.get(id).Messages), []string{"hello", "question", "answer", "other", "another", "question"})
	}
}

func hearingEnds(e *env) {
	id := e.start()
	c := reply("sure?")
	c.Unheard = true
	e.complete(e.begin(e.input(id, "yes")), c)
	if again := e.begin(e.input(id, "yes")); again.Replay == nil {
		e.broken("the repeat came as %+v", again)
	}
	e.Advance(e, store.HearingTime+time.Second)
	if again := e.begin(e.input(id, "yes")); again.Replay != nil || again.Number != 2 {
		e.broken("the repeat after its time came as %+v", again)
	}
}

func lateIsUnheard(e *env) {
	id := e.start()
	t := e.begin(e.input(id, "question"))
	e.lapse()
	c := reply("answer")
	e.complete(t, c)
	again := e.begin(e.input(id, "question"))
	if again.Replay == nil {
		e.broken("the repeat came as %+v", again)
	}
	e.same("replay", again.Replay.Messages, of(1, c.Messages))
	e.same("texts", texts(e.get(id).Messages), []string{"hello", "question", "answer"})
}

func repeatAfterAnswer(e *env) {
	id := e.start()
	e.complete(e.begin(e.input(id, "yes")), reply("sure?"))
	t := e.begin(e.input(id, "yes"))
	if t.Adopted || t.Number != 2 {
		e.broken("the repeat came as %+v", t)
	}
	e.same("texts", texts(e.get(id).Messages), []string{"hello", "yes", "sure?", "yes"})
}

func renewHolds(e *env) {
	id := e.start()
	t := e.begin(e.input(id, "question"))
	for range 3 {
		e.Advance(e, store.LeaseTime-time.Second)
		e.must(e.renew(t), "RenewLease")
	}
	_, err := e.Store.BeginTurn(e.Context(), e.input(id, "question"))
	e.busy(err, 1)
	e.lapse()
	if again := e.begin(e.input(id, "question")); !again.Adopted {
		e.broken("the lease did not end: %+v", again)
	}
}

func renewRevives(e *env) {
	id := e.start()
	t := e.begin(e.input(id, "question"))
	e.lapse()
	e.must(e.renew(t), "RenewLease")
	_, err := e.Store.BeginTurn(e.Context(), e.input(id, "question"))
	e.busy(err, 1)
	e.complete(t, reply("answer"))
}
