package contracttest

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/google/uuid"

	"parley/store"
)

// said is a user's text message.
func said(text string) []store.Message {
	return []store.Message{{ID: uuid.NewString(), Role: store.RoleUser, Kind: store.KindText, Text: text}}
}

// answered is an agent's text message.
func answered(texts ...string) []store.Message {
	out := make([]store.Message, len(texts))
	for i, text := range texts {
		out[i] = store.Message{ID: uuid.NewString(), Role: store.RoleAssistant, Kind: store.KindText, Text: text}
	}
	return out
}

// of gives messages the turn they are expected to come back with.
func of(turn int, messages []store.Message) []store.Message {
	out := make([]store.Message, len(messages))
	for i, m := range messages {
		m.Turn = turn
		out[i] = m
	}
	return out
}

// fingerprint is equal for equal texts.
func fingerprint(text string) string { return fmt.Sprintf("fp-%x", text) }

// input asks for a turn that says text.
func (e *env) input(id, text string) store.Begin {
	return store.Begin{Owner: e.owner, Conversation: id, Input: said(text), Fingerprint: fingerprint(text)}
}

// keyed is input with an idempotency key.
func (e *env) keyed(id, text, key string) store.Begin {
	b := e.input(id, text)
	b.Key = key
	return b
}

// starting asks for a new conversation.
func (e *env) starting() store.Begin {
	return store.Begin{Owner: e.owner, Conversation: uuid.NewString(), New: true, Fingerprint: fingerprint("start")}
}

// reply is a completion with one text.
func reply(text string) store.Completion {
	return store.Completion{Outcome: store.Outcome{Messages: answered(text)}, UpstreamID: "upstream-1"}
}

// start makes a conversation that has been greeted and returns its id.
func (e *env) start() string {
	e.Helper()
	b := e.starting()
	e.complete(e.begin(b), reply("hello"))
	return b.Conversation
}

func (e *env) begin(b store.Begin) store.Turn {
	e.Helper()
	t, err := e.Store.BeginTurn(e.Context(), b)
	e.must(err, "BeginTurn")
	return t
}

func (e *env) complete(t store.Turn, c store.Completion) {
	e.Helper()
	e.must(e.Store.CompleteTurn(e.Context(), t, c), "CompleteTurn")
}

func (e *env) fail(t store.Turn, class string) {
	e.Helper()
	e.must(e.Store.FailTurn(e.Context(), t, class), "FailTurn")
}

func (e *env) renew(t store.Turn) error {
	_, err := e.Store.RenewLease(e.Context(), t)
	return err
}

func (e *env) get(id string) store.Conversation {
	e.Helper()
	c, err := e.Store.Conversation(e.Context(), e.owner, id, store.Range{})
	e.must(err, "Conversation")
	return c
}

// read reads a range.
func (e *env) read(id string, r store.Range) store.Conversation {
	e.Helper()
	c, err := e.Store.Conversation(e.Context(), e.owner, id, r)
	e.must(err, "Conversation")
	return c
}

func (e *env) list(p store.Page) store.Listing {
	e.Helper()
	l, err := e.Store.List(e.Context(), e.owner, p)
	e.must(err, "List")
	return l
}

// refused expects an error.
func (e *env) refused(err, want error, doing string) {
	e.Helper()
	if !errors.Is(err, want) {
		e.broken("%s: got %v, want %v", doing, err, want)
	}
}

// busy expects the error of a conversation that is held by a turn.
func (e *env) busy(err error, turn int) {
	e.Helper()
	var b *store.BusyError
	if !errors.As(err, &b) {
		e.broken("got %v, want a *store.BusyError", err)
	}
	if b.Turn != turn || b.RetryAfter <= 0 || b.RetryAfter > store.LeaseTime {
		e.broken("got turn %d, retry after %v; want turn %d within %v", b.Turn, b.RetryAfter, turn, store.LeaseTime)
	}
}

// gone expects that nothing tells of the conversation.
func (e *env) gone(id string) {
	e.Helper()
	_, err := e.Store.Conversation(e.Context(), e.owner, id, store.Range{})
	e.refused(err, store.ErrNotFound, "Conversation")
	_, err = e.Store.BeginTurn(e.Context(), e.input(id, "anyone there?"))
	e.refused(err, store.ErrNotFound, "BeginTurn")
	_, err = e.Store.SetStatus(e.Context(), e.owner, id, store.StatusCompleted)
	e.refused(err, store.ErrNotFound, "SetStatus")
	_, err = e.Store.Follow(e.Context(), store.Follow{Owner: e.owner, Conversation: id})
	e.refused(err, store.ErrNotFound, "Follow")
	_, _, err = e.Store.Stop(e.Context(), e.owner, id)
	e.refused(err, store.ErrNotFound, "Stop")
	e.refused(e.Store.Delete(e.Context(), e.owner, id), store.ErrNotFound, "Delete")
	for _, c := range e.list(store.Page{}).Conversations {
		if c.ID == id {
			e.broken("List still has it")
		}
	}
}

// same expects two values to be deeply equal.
func (e *env) same(what string, got, want any) {
	e.Helper()
	if !reflect.DeepEqual(got, want) {
		e.broken("%s:\n\t got %+v\n\twant %+v", what, got, want)
	}
}

// texts are the texts of messages.
func texts(messages []store.Message) []string {
	out := make([]string, len(messages))
	for i, m := range messages {
		out[i] = m.Text
	}
	return out
}

// ids are the ids of conversations.
func ids(list []store.Conversation) []string {
	out := make([]string, len(list))
	for i, c := range list {
		out[i] = c.ID
	}
	return out
}
