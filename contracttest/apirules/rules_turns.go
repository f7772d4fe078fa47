package apirules

import (
	"net/http"
	"strconv"
	"time"

	"parley/contracttest/claims"
)

const (
	keyHeader    = "Idempotency-Key"
	replayHeader = "Idempotency-Replayed"
)

// asking is a request that is on its way.
type asking chan asked

type asked struct {
	answer
	err error
}

// meanwhile asks an instance, and does not wait for the answer.
func (e *env) meanwhile(i Instance, r request) asking {
	done := make(asking, 1)
	go func() {
		a, err := e.try(e.Context(), i, r)
		done <- asked{a, err}
	}()
	return done
}

// wait gives the answer. Who gets none breaks the rule.
func (a asking) wait(e *env) answer {
	e.Helper()
	got := <-a
	e.must(got.err)
	return got.answer
}

// arrive waits until the agent is asked, or the answer is there before.
func (a asking) arrive(e *env, arrived <-chan struct{}) {
	e.Helper()
	select {
	case <-arrived:
	case got := <-a:
		e.agent.Release()
		e.broken("the agent was not asked: %s %v", got.answer, got.err)
	}
}

func turnRules() []Rule {
	conflict := func(word, sentence string, needs []claims.Claim, check func(e *env)) Rule {
		return Rule{
			ID: "conflict." + word, Chapter: "conflicts", Sentence: sentence, Wired: true,
			Why:   "two turns at the same time mix their answers up, and the agent answers what nobody asked",
			How:   "the agent is held back in the middle of a turn, and something is asked meanwhile; it is counted how often the agent was asked",
			Needs: append([]claims.Claim{claims.Conflicts}, needs...),
			check: func(e *env) { e.start(); check(e) },
		}
	}
	repeat := func(word, sentence string, needs []claims.Claim, check func(e *env)) Rule {
		return Rule{
			ID: "repeat." + word, Chapter: "repeats", Sentence: sentence, Wired: true,
			Why:   "a front end repeats what it got no answer to; without this the user's message is said twice, and paid for twice",
			How:   "the same is sent again, with its key; answers are compared, and it is counted how often the agent was asked",
			Needs: append([]claims.Claim{claims.Idempotency}, needs...),
			check: func(e *env) { e.start(); check(e) },
		}
	}
	return []Rule{
		conflict("second", "the second of two turns is refused with 409 while the first runs, and the agent is not asked for it", nil, conflictSecond),
		conflict("others", "a turn of one conversation holds up no other conversation", nil, conflictOthers),
		conflict("closed", "a conversation that its owner closed takes no message: 409", []claims.Claim{claims.Change}, conflictClosed),
		repeat("same", "the same request with the same key gets the same answer, and the agent is asked once", nil, repeatSame),
		repeat("start", "a start with the key of one that was answered gives the same conversation", nil, repeatStart),
		repeat("other", "another request with a key that was used is 422", nil, repeatOther),
		repeat("failed", "with its key, a turn that the agent failed is tried again, and the user's message is kept once", []claims.Claim{claims.Read}, repeatFailed),
		{
			ID: "repeat.adopted", Chapter: "repeats", Sentence: "the same text after a turn that failed takes that turn over, and the user's message is kept once", Wired: true,
			Why:   "a front end without keys repeats on any 5xx, and the user would read his own message twice",
			How:   "the agent answers 500 and then well; the same text is sent twice without a key, and the history is read",
			Needs: []claims.Claim{claims.Adopts, claims.Read},
			check: func(e *env) { e.start(); retried(e, "") },
		},
	}
}

func conflictSecond(e *env) {
	id := e.begin()
	before := e.asked()
	arrived := e.agent.Hold()
	first := e.meanwhile(e.instance, sending(id, "first"))
	first.arrive(e, arrived)
	second := e.ask(sending(id, "second"))
	e.agent.Release()
	e.refused(second, http.StatusConflict, "turn_conflict")
	if after, err := strconv.Atoi(second.header.Get("Retry-After")); e.s.Lacks.Has(claims.RetryAfter) && (err != nil || after < 1) {
		e.broken("Retry-After is %q", second.header.Get("Retry-After"))
	}
	if a := first.wait(e); a.status != http.StatusOK {
		e.broken("the first turn: %s", a)
	}
	if n := e.asked() - before; n != 1 {
		e.broken("the agent was asked %d times, want once", n)
	}
	e.ok(sending(id, "third"))
}

func conflictOthers(e *env) {
	id, other := e.begin(), e.begin()
	arrived := e.agent.Hold()
	first := e.meanwhile(e.instance, sending(id, "first"))
	first.arrive(e, arrived)
	second := e.meanwhile(e.instance, sending(other, "second"))
	limit := e.within(turnWait + e.s.Bounds.AtOnce)
	both := e.until(limit, func() bool { return e.agent.Held() == 2 })
	if e.s.Lacks.Has(claims.Read) {
		e.ok(reading(other))
	}
	e.agent.Release()
	for _, a := range []answer{first.wait(e), second.wait(e)} {
		if a.status != http.StatusOK {
			e.broken("one of two conversations: %s", a)
		}
	}
	if !both {
		e.broken("the agent is not asked for the other conversation within %v, while it is asked for the first", limit)
	}
}

func conflictClosed(e *env) {
	id := e.begin()
	e.ok(closing(id))
	before := e.asked()
	e.refused(e.ask(sending(id, "hello")), http.StatusConflict, "conversation_closed")
	if n := e.asked() - before; n != 0 {
		e.broken("the agent was asked %d times", n)
	}
}

func repeatSame(e *env) {
	id := e.begin()
	before := e.asked()
	first := e.ok(sending(id, "hello").with(keyHeader, "a-key"))
	again := e.ok(sending(id, "hello").with(keyHeader, "a-key"))
	if first.raw != again.raw || again.header.Get(replayHeader) != "true" {
		e.broken("the second answer is another, or has no %s: %s", replayHeader, again)
	}
	if n := e.asked() - before; n != 1 {
		e.broken("the agent was asked %d times, want once", n)
	}
	// Without the key it is another message.
	if a := e.ok(sending(id, "hello")); a.raw == first.raw {
		e.broken("a message without a key gets the answer of another: %s", a)
	}
}

func repeatStart(e *env) {
	first := e.ok(starting().with(keyHeader, "a-key"))
	again := e.ok(starting().with(keyHeader, "a-key"))
	if first.ConversationID != again.ConversationID {
		e.broken("%s and %s are two conversations", first.ConversationID, again.ConversationID)
	}
}

func repeatOther(e *env) {
	id := e.begin()
	e.ok(sending(id, "hello").with(keyHeader, "a-key"))
	before := e.asked()
	e.refused(e.ask(sending(id, "another").with(keyHeader, "a-key")), http.StatusUnprocessableEntity, "idempotency_mismatch")
	if n := e.asked() - before; n != 0 {
		e.broken("the agent was asked %d times", n)
	}
}

func repeatFailed(e *env) { retried(e, "a-key") }

// retried sends what the agent fails, and the same again.
func retried(e *env, key string) {
	e.Helper()
	id := e.begin()
	r := sending(id, "hello")
	if key != "" {
		r = r.with(keyHeader, key)
	}
	e.agent.Misbehave("/status 500")
	e.refused(e.ask(r), http.StatusBadGateway, "upstream_error")
	e.agent.Misbehave("")
	e.ok(r)
	if got := roles(e.ok(reading(id)).Messages); got != "assistant user assistant" {
		e.broken("the history is %q, want the greeting, one message and one answer", got)
	}
}

// soon waits until something is so, for as long as the machine is given.
func (e *env) soon(limit time.Duration, what string, ok func() bool) {
	e.Helper()
	if !e.until(e.within(limit), ok) {
		e.broken("after %v it is still not so that %s", e.within(limit), what)
	}
}

// until waits until something is so, and reports whether it was within the limit.
func (e *env) until(limit time.Duration, ok func() bool) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); !ok(); <-tick.C {
		if time.Since(began) > limit {
			return false
		}
	}
	return true
}
