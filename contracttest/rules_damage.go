package contracttest

import (
	"strings"

	"parley/store"
)

// damageRules are about records that are not what they should be: S23 and S24.
func damageRules() []Rule {
	return []Rule{
		{ID: "S23.damaged", Sentence: "a record that is damaged, or of another version, is corrupt to every method, and none changes it", Needs: Tampers, check: damagedStays},
		{ID: "S24.delete", Sentence: "a delete removes all that is left, whatever was damaged or lost", Needs: Tampers, check: deleteTakesAll},
		{ID: "S24.gone", Sentence: "what has lost its fields is not found", Needs: Tampers, check: fieldsGone},
	}
}

func damagedStays(e *env) {
	for _, d := range []Tampering{NewerVersion, BadField, NoMessages} {
		id := e.start()
		t := e.begin(e.keyed(id, "question", "k"))
		before := e.get(id)
		undo := e.Tamper(e, e.owner, id, d)
		e.everyMethod(t, store.ErrCorrupt, string(d))
		undo()
		e.same("after "+string(d)+" was mended", e.get(id), before)
		e.complete(t, reply("answer"))
	}
}

func fieldsGone(e *env) {
	id := e.start()
	t := e.begin(e.keyed(id, "question", "k"))
	e.Tamper(e, e.owner, id, NoFields)
	e.everyMethod(t, store.ErrNotFound, string(NoFields))
}

// everyMethod expects an error of every method but Delete.
func (e *env) everyMethod(t store.Turn, want error, after string) {
	e.Helper()
	id, s := t.Conversation, e.Store
	_, err := s.Conversation(e.Context(), e.owner, id, store.Range{})
	e.refused(err, want, "Conversation after "+after)
	for _, b := range []store.Begin{e.input(id, "other"), e.keyed(id, "question", "k"), e.keyed(id, "question", "other")} {
		_, err := s.BeginTurn(e.Context(), b)
		e.refused(err, want, "BeginTurn after "+after)
	}
	e.refused(s.CompleteTurn(e.Context(), t, reply("answer")), want, "CompleteTurn after "+after)
	e.refused(s.FailTurn(e.Context(), t, "internal"), want, "FailTurn after "+after)
	e.refused(e.renew(t), want, "RenewLease after "+after)
	_, _, err = s.Publish(e.Context(), t, store.Entry{Snapshot: true, Data: []byte("1")})
	e.refused(err, want, "Publish after "+after)
	_, err = s.Follow(e.Context(), store.Follow{Owner: e.owner, Conversation: id})
	e.refused(err, want, "Follow after "+after)
	_, _, err = s.Stop(e.Context(), e.owner, id)
	e.refused(err, want, "Stop after "+after)
	_, err = s.SetStatus(e.Context(), e.owner, id, store.StatusCompleted)
	e.refused(err, want, "SetStatus after "+after)
}

func deleteTakesAll(e *env) {
	for _, d := range []Tampering{NewerVersion, BadField, NoMessages, NoFields} {
		id := e.start()
		e.begin(e.keyed(id, "question", "k"))
		e.Tamper(e, e.owner, id, d)
		e.must(e.Store.Delete(e.Context(), e.owner, id), "Delete after "+string(d))
		e.gone(id)
		if e.Keys == nil {
			continue
		}
		for _, k := range e.Keys(e) {
			if strings.Contains(k.Name, id) {
				e.broken("%s is left after %s", k.Name, d)
			}
		}
	}
}
