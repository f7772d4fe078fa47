package contracttest

import "parley/store"

// endRules are about who ended a conversation: S12.
func endRules() []Rule {
	return []Rule{
		{ID: "S12.goes-on", Sentence: "a conversation that the agent ended takes the next turn: it is active again, without the agent's old id", check: endedGoesOn},
		{ID: "S12.failed", Sentence: "a turn after the agent's end that fails leaves the conversation open, without the agent's old id", check: endedStaysOpen},
		{ID: "S12.owner", Sentence: "a conversation that its owner closed stays closed, before, while and after the agent ends it", check: ownersWordCounts},
	}
}

// end lets the agent end the conversation in a turn.
func (e *env) end(b store.Begin) {
	c := reply("bye")
	c.Ended = true
	e.complete(e.begin(b), c)
}

func endedGoesOn(e *env) {
	id := e.start()
	e.end(e.input(id, "stop"))
	for i, upstream := range []string{"upstream-2", "upstream-3"} {
		b := e.input(id, "more of "+upstream)
		b.Workflow = store.Workflow{CurrentStep: "step"}
		t := e.begin(b)
		if t.UpstreamID != "" || t.Number != 2*i+2 || t.Adopted || t.Workflow.CurrentStep != "step" {
			e.broken("the turn after the end came as %+v", t)
		}
		c := e.get(id)
		e.same("status in the turn after the end", c.Status, store.StatusActive)
		e.same("listed status", e.list(store.Page{}).Conversations[0].Status, store.StatusActive)
		e.same("upstream id in the turn after the end", c.UpstreamID, "")
		e.complete(t, store.Completion{Outcome: reply("answer").Outcome, UpstreamID: upstream})
		c = e.get(id)
		e.same("status after it", c.Status, store.StatusActive)
		e.same("upstream id after it", c.UpstreamID, upstream)
		last := e.begin(e.input(id, "stop of "+upstream))
		e.same("upstream id of the turn after that", last.UpstreamID, upstream)
		e.complete(last, store.Completion{Outcome: reply("bye").Outcome, Ended: true})
		c = e.get(id)
		e.same("status at the next end", c.Status, store.StatusCompleted)
		e.same("upstream id at the next end", c.UpstreamID, upstream)
	}
}

func endedStaysOpen(e *env) {
	id := e.start()
	e.end(e.input(id, "stop"))
	e.fail(e.begin(e.input(id, "more")), "upstream_timeout")
	c := e.get(id)
	e.same("status after a failed turn", c.Status, store.StatusActive)
	e.same("upstream id after a failed turn", c.UpstreamID, "")
	t := e.begin(e.input(id, "and more"))
	e.same("upstream id of the turn after that", t.UpstreamID, "")
	e.complete(t, store.Completion{UpstreamID: "upstream-2"})
	e.same("upstream id at last", e.get(id).UpstreamID, "upstream-2")
}

func ownersWordCounts(e *env) {
	for _, word := range []store.Status{store.StatusCompleted, store.StatusAbandoned} {
		after := e.start()
		e.end(e.input(after, "stop"))
		e.setStatus(after, word)

		while := e.start()
		held := e.begin(e.input(while, "stop"))
		e.setStatus(while, word)
		bye := reply("bye")
		bye.Ended = true
		e.complete(held, bye)

		for when, id := range map[string]string{"after the end": after, "while the turn ran": while} {
			e.same("status that was set "+when, e.get(id).Status, word)
			_, err := e.Store.BeginTurn(e.Context(), e.input(id, "more"))
			e.refused(err, store.ErrClosed, "BeginTurn in one that was closed "+when)
			e.setStatus(id, store.StatusActive)
			e.same("upstream id of one that was reopened", e.begin(e.input(id, "more")).UpstreamID, "upstream-1")
		}
	}
}

func (e *env) setStatus(id string, s store.Status) {
	_, err := e.Store.SetStatus(e.Context(), e.owner, id, s)
	e.must(err, "SetStatus")
}
