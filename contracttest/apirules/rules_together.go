package apirules

import (
	"net/http"
	"time"

	"parley/contracttest/claims"
)

// togetherRules are about requests that come while a turn runs, or after the agent ended
// the conversation, and are answered all the same.
func togetherRules() []Rule {
	rule := func(id, chapter, sentence, why, how string, needs []claims.Claim, check func(e *env)) Rule {
		return Rule{ID: id, Chapter: chapter, Sentence: sentence, Why: why, How: how, Needs: needs, Wired: true, check: check}
	}
	return []Rule{
		rule(
			"conflict.waits", "conflicts", "a message that is sent while another turn runs waits for it, and is answered after it",
			"a user who sends two messages quickly loses the second: a front end does not repeat a 409",
			"the agent is held back in a turn, another message is sent, and then the agent goes on",
			[]claims.Claim{claims.Waits}, func(e *env) { e.wiring.TurnWait = patience; e.start(); waits(e, e.instance) },
		),
		rule(
			"repeat.joins", "repeats", "the same text while its own turn runs gets that turn's answer, and the agent is asked once",
			"a browser sends a request again by itself when its connection is reset, and the user would read his message twice",
			"the agent is held back in a turn, the same is sent again without a key, and then the agent goes on; it is counted how often the agent was asked",
			[]claims.Claim{claims.Joins}, func(e *env) { e.wiring.TurnWait = patience; e.start(); joins(e, e.instance) },
		),
		rule(
			"life.goes-on", "life", "a conversation that the agent ended goes on with the next message, and says that it began anew",
			"a user reads the agent's goodbye and writes on; without this every message is refused for ever",
			"the agent ends the conversation, and two messages are sent after that",
			[]claims.Claim{claims.GoesOn}, goesOn,
		),
	}
}

// still breaks the rule if an answer comes within a moment.
func (a asking) still(e *env) {
	e.Helper()
	select {
	case got := <-a:
		e.agent.Release()
		e.broken("it does not wait for the turn that runs: %s %v", got.answer, got.err)
	case <-time.After(moment):
	}
}

// during sends a text while the turn of another runs on the first instance, and gives
// both answers and how often the agent was asked.
func (e *env) during(id, first, second string, other Instance) (one, two answer, asked int) {
	e.Helper()
	before := e.asked()
	arrived := e.agent.Hold()
	turn := e.meanwhile(e.instance, sending(id, first))
	turn.arrive(e, arrived)
	later := e.meanwhile(other, sending(id, second))
	later.still(e)
	held := e.agent.Held()
	e.agent.Release()
	one, two = turn.wait(e), later.wait(e)
	if one.status != http.StatusOK || two.status != http.StatusOK || held != 1 {
		e.broken("one is answered %s and the other %s, and the agent was asked for %d at once", one, two, held)
	}
	return one, two, e.asked() - before
}

func waits(e *env, other Instance) {
	e.Helper()
	id := e.begin()
	one, two, asked := e.during(id, "first", "second", other)
	if asked != 2 || said(one.Messages) == said(two.Messages) {
		e.broken("the agent was asked %d times for two messages: %s and %s", asked, one, two)
	}
	e.kept(id, "first", "second")
}

func joins(e *env, other Instance) {
	e.Helper()
	id := e.begin()
	one, two, asked := e.during(id, "hello", "hello", other)
	if asked != 1 || said(one.Messages) != said(two.Messages) {
		e.broken("the agent was asked %d times for one message: %s and %s", asked, one, two)
	}
	e.kept(id, "hello")
}

// kept holds the history against what the user said, with one answer for each.
func (e *env) kept(id string, texts ...string) {
	e.Helper()
	if !e.s.Lacks.Has(claims.Read) {
		return
	}
	messages := e.ok(reading(id)).Messages
	ok := len(messages) == 1+2*len(texts)
	for i, text := range texts {
		ok = ok && messages[1+2*i].Role == "user" && messages[1+2*i].Text == text && messages[2+2*i].Role == "assistant"
	}
	if !ok {
		e.broken("the history is %q, want an answer for each of %q", said(messages), texts)
	}
}

func goesOn(e *env) {
	e.start()
	id := e.begin()
	e.ok(sending(id, "/end"))
	if a := e.ok(sending(id, "hello")); !a.Restarted {
		e.broken("it does not say that the agent began anew: %s", a)
	}
	if a := e.ok(sending(id, "and on")); a.Restarted {
		e.broken("it says again that the agent began anew: %s", a)
	}
}
