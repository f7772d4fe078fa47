package contracttest

import (
	"slices"
	"time"

	"parley/store"
)

// listRules are about lists: S14.
func listRules() []Rule {
	return []Rule{
		{ID: "S14.order", Sentence: "a list is newest first by the last write", check: listOrder},
		{ID: "S14.pages", Sentence: "a list gives at most 50, and its pages give everything once, also within one millisecond", check: listPages},
		{ID: "S14.expired", Sentence: "expired conversations neither appear in a list nor use up its limit", check: listSkipsExpired},
		{ID: "S14.cursor", Sentence: "what is not a cursor is refused as such", check: listRefusesCursor},
		{ID: "S14.deleted", Sentence: "a cursor goes on where it stood although its own conversation was deleted", check: cursorOutlivesEntry},
	}
}

func listOrder(e *env) {
	if l := e.list(store.Page{}); len(l.Conversations) != 0 || l.NextCursor != "" {
		e.broken("the list of somebody new is %+v", l)
	}
	var started []string
	for range 4 {
		started = append(started, e.start())
		e.Advance(e, time.Second)
	}
	e.fail(e.begin(e.input(started[1], "question")), "upstream_error")
	e.Advance(e, time.Second)
	_, err := e.Store.SetStatus(e.Context(), e.owner, started[0], store.StatusAbandoned)
	e.must(err, "SetStatus")
	l := e.list(store.Page{})
	e.same("order", ids(l.Conversations), []string{started[0], started[1], started[3], started[2]})
	e.same("status of the first", l.Conversations[0].Status, store.StatusAbandoned)
	e.same("turns of the second", l.Conversations[1].Turns, 1)
}

func listPages(e *env) {
	var started []string
	for i := range 120 {
		started = append(started, e.start())
		if i%40 == 39 { // three bunches of forty at the same time each
			e.Advance(e, time.Second)
		}
	}
	e.same("length of a list without a limit", len(e.list(store.Page{}).Conversations), store.MaxPage)
	e.same("length of a list with too high a limit", len(e.list(store.Page{Limit: 1000}).Conversations), store.MaxPage)
	for _, limit := range []int{7, 40, 50} {
		var got []string
		var last time.Time
		for p := (store.Page{Limit: limit}); ; {
			l := e.list(p)
			if len(l.Conversations) > limit {
				e.broken("%d on a page of %d", len(l.Conversations), limit)
			}
			for _, c := range l.Conversations {
				if !last.IsZero() && c.UpdatedAt.After(last) {
					e.broken("%v comes after %v", c.UpdatedAt, last)
				}
				last = c.UpdatedAt
			}
			got = append(got, ids(l.Conversations)...)
			if p.Cursor = l.NextCursor; p.Cursor == "" {
				break
			}
			if len(got) > len(started) {
				e.broken("pages of %d do not end", limit)
			}
		}
		want := slices.Sorted(slices.Values(started))
		e.same("all pages together", slices.Sorted(slices.Values(got)), want)
	}
}

func listSkipsExpired(e *env) {
	for range 60 {
		e.start()
	}
	kept := e.start()
	e.Advance(e, e.TTL-time.Minute)
	e.complete(e.begin(e.input(kept, "still here")), reply("good"))
	fresh := e.start()
	e.Advance(e, 2*time.Minute)
	l := e.list(store.Page{Limit: 2})
	e.same("listed", slices.Sorted(slices.Values(ids(l.Conversations))), slices.Sorted(slices.Values([]string{kept, fresh})))
	if l.NextCursor != "" && len(e.list(store.Page{Cursor: l.NextCursor}).Conversations) != 0 {
		e.broken("there is more after the last")
	}
}

func listRefusesCursor(e *env) {
	e.start()
	for _, bad := range []string{"x", "%%%", "MTIz", "LTEgYQ", string(make([]byte, 300))} {
		_, err := e.Store.List(e.Context(), e.owner, store.Page{Cursor: bad})
		e.refused(err, store.ErrCursor, "List")
	}
}

func cursorOutlivesEntry(e *env) {
	var started []string
	for range 3 {
		started = append(started, e.start())
		e.Advance(e, time.Second)
	}
	first := e.list(store.Page{Limit: 1})
	e.must(e.Store.Delete(e.Context(), e.owner, started[2]), "Delete")
	e.same("the page after", ids(e.list(store.Page{Cursor: first.NextCursor}).Conversations), []string{started[1], started[0]})
}
