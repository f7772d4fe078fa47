package matrix

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/store"
)

// storeColumn is one method of the store.
type storeColumn struct {
	method string
	tb     testing.TB
	s      store.Store
	class  func(error) string
	keys   string
	owner  store.Owner
	id     string
	turn   store.Turn // that is held when a commit is fired
}

// storeMethods are the methods, by what a row expects of them.
func storeMethods() map[string]func(r Row) Expect {
	return map[string]func(r Row) Expect{
		"BeginTurn":    func(r Row) Expect { return r.held(r.Begins) },
		"CompleteTurn": func(r Row) Expect { return r.Commits },
		"FailTurn":     func(r Row) Expect { return r.Commits },
		"RenewLease":   func(r Row) Expect { return r.Commits },
		"Conversation": func(r Row) Expect { return r.held(r.Reads) },
		"List":         func(r Row) Expect { return r.Reads },
		"SetStatus":    func(r Row) Expect { return r.held(r.Changes) },
		"Delete":       func(r Row) Expect { return r.Deletes },
	}
}

func storeColumnName(method string) string { return "Store." + method }

func (c *storeColumn) name() string          { return storeColumnName(c.method) }
func (c *storeColumn) sends() string         { return c.name() }
func (c *storeColumn) prefix() string        { return c.keys }
func (c *storeColumn) within() time.Duration { return Recovery }
func (c *storeColumn) persists() bool        { return false }
func (c *storeColumn) expect(r Row) Expect   { return storeMethods()[c.method](r) }
func (c *storeColumn) commits() bool {
	return c.method == "CompleteTurn" || c.method == "FailTurn" || c.method == "RenewLease"
}

func message(role store.Role, text string) []store.Message {
	return []store.Message{{ID: uuid.NewString(), Role: role, Kind: store.KindText, Text: text}}
}

func (c *storeColumn) begin(text string) store.Begin {
	return store.Begin{
		Owner: c.owner, Conversation: c.id, Input: message(store.RoleUser, text),
		Fingerprint: "fp-" + text, Key: "key-" + text,
	}
}

func answer(text string) store.Completion {
	return store.Completion{Outcome: store.Outcome{Messages: message(store.RoleAssistant, text)}, UpstreamID: "u"}
}

func (c *storeColumn) prepare() error {
	ctx := c.tb.Context()
	c.id = uuid.NewString()
	t, err := c.s.BeginTurn(ctx, store.Begin{Owner: c.owner, Conversation: c.id, New: true, Fingerprint: "start"})
	if err == nil {
		err = c.s.CompleteTurn(ctx, t, answer("greeting"))
	}
	if err == nil {
		t, err = c.s.BeginTurn(ctx, c.begin("acknowledged"))
	}
	if err == nil {
		err = c.s.CompleteTurn(ctx, t, answer("answer"))
	}
	return err
}

func (c *storeColumn) approach() (err error) {
	if c.commits() {
		c.turn, err = c.s.BeginTurn(c.tb.Context(), c.begin("question"))
	}
	return err
}

func (c *storeColumn) fire() outcome {
	began := time.Now()
	class := c.class(c.call())
	return outcome{class: class, took: time.Since(began)}
}

func (c *storeColumn) call() (err error) {
	ctx := c.tb.Context()
	switch c.method {
	case "BeginTurn":
		c.turn, err = c.s.BeginTurn(ctx, c.begin("question"))
	case "CompleteTurn":
		err = c.s.CompleteTurn(ctx, c.turn, answer("answer"))
	case "FailTurn":
		err = c.s.FailTurn(ctx, c.turn, "upstream_error")
	case "RenewLease":
		_, err = c.s.RenewLease(ctx, c.turn)
	case "Conversation":
		_, err = c.s.Conversation(ctx, c.owner, c.id, store.Range{})
	case "List":
		_, err = c.s.List(ctx, c.owner, store.Page{})
	case "SetStatus":
		_, err = c.s.SetStatus(ctx, c.owner, c.id, store.StatusAbandoned)
	case "Delete":
		err = c.s.Delete(ctx, c.owner, c.id)
	}
	return err
}

// works writes something new, which needs everything.
func (c *storeColumn) works() error {
	b := store.Begin{Owner: c.owner, Conversation: uuid.NewString(), New: true, Fingerprint: "start"}
	t, err := c.s.BeginTurn(c.tb.Context(), b)
	if err == nil {
		err = c.s.FailTurn(c.tb.Context(), t, "upstream_error")
	}
	return err
}

func (c *storeColumn) verify(outcome) error {
	err := c.call()
	switch {
	case c.method == "Delete" && errors.Is(err, store.ErrNotFound): // it had happened
	case errors.Is(err, store.ErrBusy):
		return errHeld
	case err != nil:
		return fmt.Errorf("the call again: %w", err)
	}
	if c.method == "BeginTurn" {
		if err := c.s.CompleteTurn(c.tb.Context(), c.turn, answer("answer")); err != nil {
			return fmt.Errorf("completing the turn: %w", err)
		}
	}
	kept, err := c.s.Conversation(c.tb.Context(), c.owner, c.id, store.Range{})
	if c.method == "Delete" {
		if !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("after the delete: %w", errors.Join(errStill, err))
		}
		return nil
	}
	if err != nil {
		return err
	}
	want := "greeting acknowledged answer"
	switch c.method {
	case "BeginTurn", "CompleteTurn":
		want += " question answer"
	case "FailTurn", "RenewLease":
		want += " question"
	}
	if got := texts(kept.Messages); got != want {
		return fmt.Errorf("it holds %q, want %q", got, want)
	}
	return nil
}

func texts(messages []store.Message) string {
	all := make([]string, len(messages))
	for i, m := range messages {
		all[i] = m.Text
	}
	return strings.Join(all, " ")
}
