package contracttest

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"parley/store"
)

// boundRules are about what one owner may take: S31 and S32, and the keys of S9.
func boundRules() []Rule {
	return []Rule{
		{ID: "S31.turns", Sentence: "a conversation takes as many turns as its limit, and then no other", check: turnsBounded},
		{ID: "S31.bytes", Sentence: "a conversation takes turns until it has as many bytes as its limit, in texts or in what is kept for replays", check: bytesBounded},
		{ID: "S31.repeats", Sentence: "a full conversation still replays its answers, and a turn that failed can be taken over", check: fullRepeats},
		{ID: "S32.quota", Sentence: "an owner starts as many conversations as the limit, and another owner does not notice", check: quota},
		{ID: "S32.starting", Sentence: "a conversation that is being started counts for as long as its turn is held, and no longer", check: quotaStarting},
		{ID: "S32.race", Sentence: "of any number of starts at the same time as many win as the limit allows, through any handle", check: quotaRace},
		{ID: "S32.ended", Sentence: "what has expired does not count, whatever time to live it was given", Needs: OwnClock, check: quotaEnded},
		{ID: "S9.kept", Sentence: "the latest keys are kept, and an answer is given again with the step data of its time", check: keysKept},
	}
}

func (e *env) limited(id, text string, l store.Limits) (store.Turn, error) {
	e.Helper()
	b := e.input(id, text)
	b.Limits = l
	return e.Store.BeginTurn(e.Context(), b)
}

func turnsBounded(e *env) {
	id := e.start()
	l := store.Limits{Turns: 3}
	for n := 1; n <= 3; n++ {
		t, err := e.limited(id, fmt.Sprint("question ", n), l)
		e.must(err, "BeginTurn")
		if n == 2 {
			e.fail(t, "internal") // which counts
			continue
		}
		e.complete(t, reply("answer"))
	}
	before := e.get(id)
	for range 2 {
		_, err := e.limited(id, "one more", l)
		e.refused(err, store.ErrConversationFull, "BeginTurn")
	}
	e.same("conversation", e.get(id), before)
	_, err := e.limited(id, "one more", store.Limits{Turns: 4})
	e.must(err, "BeginTurn with a higher limit")
	_, err = e.limited(id, "another", l)
	e.busy(err, 4)
}

func bytesBounded(e *env) {
	const kilo = 1 << 10
	text := strings.Repeat("x", kilo)
	l := store.Limits{Bytes: 20 * kilo}
	fill := func(begin func(id string, n int) (store.Turn, error)) (turns int) {
		for id := e.start(); ; turns++ {
			t, err := begin(id, turns)
			if err != nil {
				e.refused(err, store.ErrConversationFull, "BeginTurn")
				return turns
			}
			if turns > 100 {
				e.broken("it took a hundred turns")
			}
			e.complete(t, reply("answer"))
		}
	}
	if n := fill(func(id string, n int) (store.Turn, error) { return e.limited(id, fmt.Sprint(n, text), l) }); n < 12 || n > 19 {
		e.broken("%d texts of 1 KiB fit into 20 KiB", n)
	}
	n := fill(func(id string, n int) (store.Turn, error) {
		b := e.keyed(id, fmt.Sprint(n), fmt.Sprint("key ", n))
		b.Limits = l
		if n%2 == 0 {
			b.Workflow.StepData = json.RawMessage(`{"n":"` + fmt.Sprint(n) + text + `"}`)
		}
		return e.Store.BeginTurn(e.Context(), b)
	})
	if n < 12 || n > 38 {
		e.broken("%d turns with step data of 1 KiB in every other fit into 20 KiB", n)
	}
}

func fullRepeats(e *env) {
	l := store.Limits{Turns: 2, Bytes: 1 << 20}
	id := e.start()
	keyed := e.keyed(id, "first", "k")
	keyed.Limits = l
	e.complete(e.begin(keyed), reply("answer"))
	t, err := e.limited(id, "second", l)
	e.must(err, "BeginTurn")
	e.fail(t, "internal")
	l.Bytes = 1
	keyed.Limits = l
	if t := e.begin(keyed); t.Replay == nil {
		e.broken("no replay: %+v", t)
	}
	again, err := e.limited(id, "second", l)
	e.must(err, "BeginTurn of a repeat")
	if !again.Adopted {
		e.broken("the repeat came as %+v", again)
	}
	e.complete(again, reply("answer"))
	_, err = e.limited(id, "third", l)
	e.refused(err, store.ErrConversationFull, "BeginTurn")
	c := reply("bye")
	c.Ended = true
	e.must(e.Store.CompleteTurn(e.Context(), again, c), "CompleteTurn again")
}

func quota(e *env) {
	l := store.Limits{Conversations: 3}
	begin := func() (store.Turn, error) {
		b := e.starting()
		b.Limits = l
		return e.Store.BeginTurn(e.Context(), b)
	}
	var started []string
	for range 3 {
		t, err := begin()
		e.must(err, "BeginTurn")
		e.complete(t, reply("hello"))
		started = append(started, t.Conversation)
	}
	_, err := begin()
	e.refused(err, store.ErrQuota, "BeginTurn of one more")
	e.same("listed", len(e.list(store.Page{}).Conversations), 3)
	_, err = e.limited(started[0], "question", l)
	e.must(err, "BeginTurn in one that is there")
	owner := e.owner
	e.owner = NewOwner()
	_, err = begin()
	e.must(err, "BeginTurn of another owner")
	e.owner = owner
	e.must(e.Store.Delete(e.Context(), e.owner, started[1]), "Delete")
	t, err := begin()
	e.must(err, "BeginTurn after a delete")
	e.complete(t, reply("hello"))
	_, err = begin()
	e.refused(err, store.ErrQuota, "BeginTurn of one more")
	e.Advance(e, e.TTL+time.Second)
	_, err = begin()
	e.must(err, "BeginTurn after all have expired")
}

func quotaStarting(e *env) {
	l := store.Limits{Conversations: 2}
	begin := func(b store.Begin) (store.Turn, error) {
		b.Limits = l
		return e.Store.BeginTurn(e.Context(), b)
	}
	full := func(when string) {
		e.Helper()
		_, err := begin(e.starting())
		e.refused(err, store.ErrQuota, "BeginTurn "+when)
	}
	lapsing := e.starting()
	_, err := begin(lapsing)
	e.must(err, "BeginTurn")
	second, err := begin(e.starting())
	e.must(err, "BeginTurn of the second")
	full("while two are being started")
	e.fail(second, "internal")
	second, err = begin(e.starting())
	e.must(err, "BeginTurn after a start failed")
	full("while two are being started again")
	e.Advance(e, store.LeaseTime/2)
	e.must(e.renew(second), "RenewLease")
	e.Advance(e, store.LeaseTime/2+time.Second)
	third, err := begin(e.starting())
	e.must(err, "BeginTurn after a start has lapsed")
	full("while one is renewed and one begun")
	_, err = begin(lapsing)
	e.refused(err, store.ErrQuota, "BeginTurn that takes the lapsed start over")
	e.complete(second, reply("hello"))
	full("when one of the two has completed")
	e.fail(third, "internal")
	again, err := begin(lapsing)
	e.must(err, "BeginTurn that takes the lapsed start over when there is room")
	if !again.Adopted {
		e.broken("the repeat of a lapsed start came as %+v", again)
	}
	full("while that one is being started")
	e.complete(again, reply("hello"))
	full("when both have completed")
}

func quotaRace(e *env) {
	const limit, starts = 3, 24
	handles := []store.Store{e.Store, e.Reopen(e)}
	began, errs := make([]store.Turn, starts), make([]error, starts)
	var all sync.WaitGroup
	for i := range starts {
		b := e.starting()
		b.Limits = store.Limits{Conversations: limit}
		all.Go(func() { began[i], errs[i] = handles[i%len(handles)].BeginTurn(e.Context(), b) })
	}
	all.Wait()
	won := 0
	for i, err := range errs {
		if err == nil {
			won++
			e.complete(began[i], reply("hello"))
			continue
		}
		e.refused(err, store.ErrQuota, "BeginTurn of one too many")
	}
	if won != limit {
		e.broken("%d of %d starts at the same time won, with a limit of %d", won, starts, limit)
	}
}

// quotaEnded has an index that outlives most of what it lists.
func quotaEnded(e *env) {
	long, short := e.Instance(e, 24*time.Hour, 0), e.Instance(e, e.TTL, 0)
	l := store.Limits{Conversations: 5}
	begin := func(s store.Store) error {
		b := e.starting()
		b.Limits = l
		t, err := s.BeginTurn(e.Context(), b)
		if err != nil {
			return err
		}
		return s.CompleteTurn(e.Context(), t, reply("hello"))
	}
	e.must(begin(long), "BeginTurn")
	for range 4 {
		e.must(begin(short), "BeginTurn")
	}
	e.refused(begin(short), store.ErrQuota, "BeginTurn of one more")
	e.Advance(e, e.TTL+time.Second)
	for range 4 {
		e.must(begin(short), "BeginTurn after they have expired")
	}
	e.refused(begin(short), store.ErrQuota, "BeginTurn of one more")
}

func keysKept(e *env) {
	id := e.start()
	begins := make([]store.Begin, 300)
	data := ""
	want := make([]string, len(begins))
	for n := range begins {
		b := e.keyed(id, fmt.Sprint("question ", n), fmt.Sprint("key ", n))
		switch n % 50 {
		case 10:
			data = fmt.Sprintf(`{"set":%d}`, n)
			b.Workflow.StepData, b.Key = json.RawMessage(data), ""
		case 30:
			data = fmt.Sprintf(`{"set":%d}`, n)
			b.Workflow.StepData = json.RawMessage(data)
		}
		want[n] = data
		begins[n] = b
		e.complete(e.begin(b), reply(fmt.Sprint("answer ", n)))
	}
	for n := len(begins) - store.KeptKeys; n < len(begins); n++ {
		b := begins[n]
		if b.Key == "" {
			continue
		}
		t := e.begin(b)
		if t.Replay == nil {
			e.broken("the key of turn %d is forgotten: %+v", n+1, t)
		}
		e.same("replayed", texts(t.Replay.Messages), []string{fmt.Sprint("answer ", n)})
		if b.Workflow.StepData == nil {
			e.same("step data", string(t.Replay.StepData), want[n])
		}
	}
	if t := e.begin(begins[0]); t.Replay != nil {
		e.broken("the first of %d keys is kept", len(begins))
	}
}
