package contracttest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"parley/store"
)

// legacyRules are about what the service before Parley left: S2, S14, S20.
func legacyRules() []Rule {
	return []Rule{
		{ID: "S20.legacy", Sentence: "a legacy record is read, listed, continued, converted on the first write, and deleted", Needs: Legacy, check: legacyLife},
		{ID: "S2.legacy-owner", Sentence: "a legacy record is its owner's alone", Needs: Legacy, check: legacyOwner},
		{ID: "S20.legacy-pages", Sentence: "all legacy records are listed, each once, newest first by the legacy index, whether or not they have times", Needs: Legacy, check: legacyPages},
		{ID: "S20.legacy-behind", Sentence: "legacy records are found behind any number that have ended or are somebody else's", Needs: Legacy, check: legacyBehind},
		{ID: "S20.legacy-once", Sentence: "a converted conversation whose legacy record is still there is listed once", Needs: Legacy, check: legacyOnce},
		{ID: "S20.legacy-case", Sentence: "a legacy id in capitals is listed, read, continued and deleted as every id is written", Needs: Legacy, check: legacyCase},
		{ID: "S20.legacy-unreadable", Sentence: "a legacy record that cannot be read is corrupt to the user whose index names it, and not there for others", Needs: Legacy, check: legacyUnreadable},
	}
}

// legacyRecord is what the legacy service's first version wrote for a signed-in user
// of the default tenant.
func legacyRecord(id, user string) []byte {
	return []byte(`{"externalId":"` + id + `","userId":"` + user + `","updatedAt":"2020-02-19T08:05:30.250Z","history":[` +
		`{"id":"m1","role":"assistant","kind":"text","text":"hello"},{"id":"m2","role":"user","kind":"text","text":"hi"}]}`)
}

func legacyLife(e *env) {
	e.owner = store.Owner{Tenant: store.DefaultTenant, User: uuid.NewString()}
	put := func() string {
		id := uuid.NewString()
		e.PutLegacy(e, e.owner, id, 1, legacyRecord(id, e.owner.User))
		return id
	}
	read, gone, list := put(), put(), e.start()
	listed := func(doing string) {
		e.Helper()
		got, want := ids(e.list(store.Page{}).Conversations), []string{read, gone, list}
		e.same("listed "+doing, slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want)))
	}
	listed("at first")
	c := e.get(read)
	e.same("texts", texts(c.Messages), []string{"hello", "hi"})
	e.same("turns, status", []any{c.Turns, c.Status}, []any{1, store.StatusActive})
	listed("after it was read")
	later, err := e.Store.Conversation(e.Context(), e.owner, read, store.Range{From: 1})
	e.must(err, "Conversation after the greeting")
	e.same("texts after the greeting", texts(later.Messages), []string{"hi"})
	t := e.begin(e.input(read, "next"))
	e.same("number of the next turn", t.Number, 2)
	e.complete(t, reply("answer"))
	c = e.get(read)
	e.same("texts", texts(c.Messages), []string{"hello", "hi", "next", "answer"})
	e.same("upstream id", c.UpstreamID, "upstream-1")
	listed("after it was continued")
	e.must(e.Store.Delete(e.Context(), e.owner, gone), "Delete")
	e.must(e.Store.Delete(e.Context(), e.owner, read), "Delete")
	e.gone(gone)
	e.gone(read)
}

func legacyOwner(e *env) {
	id := uuid.NewString()
	old := store.Owner{Tenant: store.DefaultTenant, User: uuid.NewString()}
	e.PutLegacy(e, old, id, 1, legacyRecord(id, old.User))
	broken := uuid.NewString()
	e.PutLegacy(e, old, broken, 1, []byte(`{"externalId":"`+broken+`","userId":"`+old.User+`","status":"weird"}`))
	e.owner = store.Owner{Tenant: uuid.NewString(), User: old.User}
	e.gone(id)
	e.gone(broken)
	e.owner = old
	e.same("texts", texts(e.get(id).Messages), []string{"hello", "hi"})
	_, err := e.Store.Conversation(e.Context(), e.owner, broken, store.Range{})
	e.refused(err, store.ErrCorrupt, "Conversation of one that does not decode")
	e.must(e.Store.Delete(e.Context(), e.owner, broken), "Delete of one that does not decode")
}

// legacyUser becomes a user of the default tenant, which legacy records are of.
func (e *env) legacyUser() {
	e.owner = store.Owner{Tenant: store.DefaultTenant, User: uuid.NewString()}
}

// legacyAt puts a legacy record there that is as old as its index says.
func (e *env) legacyAt(id string, at time.Time, times bool) {
	record := `{"externalId":"` + id + `","userId":"` + e.owner.User + `","history":[]`
	if times {
		stamp := at.UTC().Format("2006-01-02T15:04:05.000Z")
		record += `,"createdAt":"` + stamp + `","updatedAt":"` + stamp + `"`
	}
	e.PutLegacy(e, e.owner, id, float64(at.UnixMilli()), []byte(record+"}"))
}

var legacyTime = time.Date(2026, 2, 19, 8, 5, 30, 250e6, time.UTC)

func legacyPages(e *env) {
	e.legacyUser()
	want := map[string]time.Time{}
	for i := range 120 {
		id, at := uuid.NewString(), legacyTime.Add(time.Duration(i/40)*time.Hour) // three bunches
		if i >= 40 {
			at = at.Add(time.Duration(i) * time.Second)
		}
		e.legacyAt(id, at, i%2 == 0)
		want[id] = at
	}
	for range 5 {
		id := e.start()
		want[id] = e.get(id).UpdatedAt
	}
	inOrder := make([]string, 0, len(want))
	for id := range want {
		inOrder = append(inOrder, id)
	}
	slices.SortFunc(inOrder, func(a, b string) int {
		if c := want[b].Compare(want[a]); c != 0 {
			return c
		}
		return strings.Compare(b, a)
	})
	for _, limit := range []int{1, 7, 50} {
		got, _ := e.pages(limit, func() {})
		e.same(fmt.Sprint("pages of ", limit), got, inOrder)
	}
	for _, c := range e.list(store.Page{}).Conversations {
		e.same("times in a list", []time.Time{c.UpdatedAt}, []time.Time{want[c.ID]})
		whole := e.get(c.ID)
		e.same("times of the conversation", []time.Time{whole.CreatedAt, whole.UpdatedAt}, []time.Time{c.CreatedAt, c.UpdatedAt})
	}
}

func legacyBehind(e *env) {
	e.legacyUser()
	var live []string
	for i := range 3 {
		live = append(live, uuid.NewString())
		e.legacyAt(live[i], legacyTime.Add(-time.Duration(i)*time.Second), true)
	}
	for i := range 160 {
		id, score := uuid.NewString(), float64(legacyTime.UnixMilli()+int64(i+1))
		var record []byte
		if i%2 == 0 {
			record = []byte(`{"externalId":"` + id + `","userId":"` + e.owner.User + `","tenantId":"` + uuid.NewString() + `","history":[]}`)
		}
		e.PutLegacy(e, e.owner, id, score, record)
	}
	e.same("listed first", ids(e.list(store.Page{Limit: 2}).Conversations), live[:2])
	for _, limit := range []int{1, 2, 50} {
		got, corrupt := e.pages(limit, func() {})
		e.same(fmt.Sprint("pages of ", limit), got, live)
		e.same("corrupt", corrupt, 0)
	}
}

func legacyOnce(e *env) {
	e.legacyUser()
	var all []string
	for range 4 {
		id := uuid.NewString()
		e.legacyAt(id, legacyTime, true)
		all = append(all, id)
	}
	converted := all[0]
	e.complete(e.begin(e.input(converted, "next")), reply("answer"))
	e.legacyAt(converted, legacyTime, true)
	for _, limit := range []int{1, 2, 50} {
		got, _ := e.pages(limit, func() {})
		e.same("first", got[0], converted)
		e.same("listed", slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(all)))
	}
}

func legacyCase(e *env) {
	e.legacyUser()
	for _, spell := range []func(string) string{strings.ToUpper, strings.ToLower} {
		id := uuid.NewString()
		e.legacyAt(spell(id), legacyTime, true)
		listed := ids(e.list(store.Page{}).Conversations)
		e.same("listed", listed, []string{id})
		e.same("id", e.get(id).ID, id)
		e.complete(e.begin(e.input(id, "next")), reply("answer"))
		e.same("texts", texts(e.get(id).Messages), []string{"next", "answer"})
		e.same("listed after it was continued", ids(e.list(store.Page{}).Conversations), []string{id})
		e.must(e.Store.Delete(e.Context(), e.owner, id), "Delete")
		e.gone(id)
	}
	id := uuid.NewString()
	e.legacyAt(strings.ToUpper(id), legacyTime, true)
	e.must(e.Store.Delete(e.Context(), e.owner, id), "Delete of one in capitals")
	e.gone(id)
}

func legacyUnreadable(e *env) {
	e.legacyUser()
	sound := uuid.NewString()
	e.legacyAt(sound, legacyTime.Add(-time.Hour), true)
	owner := e.owner
	for what, record := range map[string]string{
		"no JSON":        "history",
		"cut off":        `{"externalId":"x","userId":"` + owner.User,
		"not an object":  `[]`,
		"another's id":   `{"externalId":"x","userId":"` + owner.User + `"}`,
		"a bad status":   `{"externalId":"ID","userId":"` + owner.User + `","status":"weird"}`,
		"a bad time":     `{"externalId":"ID","userId":"` + owner.User + `","updatedAt":"yesterday"}`,
		"a bad user":     `{"externalId":"ID","userId":7}`,
		"a bad history":  `{"externalId":"ID","userId":"` + owner.User + `","history":[{"role":"robot"}]}`,
		"history a word": `{"externalId":"ID","userId":"` + owner.User + `","history":"x"}`,
	} {
		id := uuid.NewString()
		e.PutLegacy(e, owner, id, float64(legacyTime.UnixMilli()), []byte(strings.ReplaceAll(record, "ID", id)))
		e.owner = store.Owner{Tenant: owner.Tenant, User: uuid.NewString()}
		e.gone(id)
		e.owner = owner
		for _, limit := range []int{1, 50} {
			got, corrupt := e.pages(limit, func() {})
			e.same(what+": listed", got, []string{sound})
			e.same(what+": corrupt", corrupt, 1)
		}
		_, err := e.Store.Conversation(e.Context(), e.owner, id, store.Range{})
		e.refused(err, store.ErrCorrupt, what+": Conversation")
		_, err = e.Store.BeginTurn(e.Context(), e.input(id, "next"))
		e.refused(err, store.ErrCorrupt, what+": BeginTurn")
		e.must(e.Store.Delete(e.Context(), e.owner, id), what+": Delete")
		e.gone(id)
	}
}
