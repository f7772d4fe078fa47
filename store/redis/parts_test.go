package redis_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"parley/contracttest/redistest"
	"parley/store"
)

// S23, S24: a part of a conversation that was evicted, or deleted by hand. What has
// lost its fields is gone, what has lost its messages or its idempotency records
// is corrupt, and what has lost its lease or its place in the list goes on without.
func TestLostParts(t *testing.T) {
	url := redistest.Start(t).URL()
	raw := client(t, url)
	for letter, want := range map[string]error{
		"c": store.ErrNotFound, "m": store.ErrCorrupt, "k": store.ErrCorrupt, "l": nil, "ix": nil, "s": nil,
	} {
		t.Run(letter, func(t *testing.T) {
			p := open(t, url)
			lose := func() *stored {
				d := fill(t, p, raw, false)
				put(t, raw.Del(t.Context(), d.keys[letter]).Err())
				return d
			}
			for method := range (&stored{p: p}).methods(t.Context()) {
				d := lose() // anew for each: some of them end the turn
				err := d.methods(t.Context())[method]()
				switch {
				case want != nil && !errors.Is(err, want):
					t.Errorf("%s: %v, want %v", method, err, want)
				case want == nil && err != nil && !errors.Is(err, store.ErrBusy) && !errors.Is(err, store.ErrMismatch):
					t.Errorf("%s: %v", method, err)
				}
			}
			if want == nil {
				d := lose()
				_, err := p.Store.SetStatus(t.Context(), d.o, d.id, store.StatusActive)
				put(t, err)
				if l, err := p.Store.List(t.Context(), d.o, store.Page{}); err != nil || len(l.Conversations) != 1 {
					t.Errorf("after a write it is listed as %+v, %v", l, err)
				}
			}
			d := lose()
			put(t, p.Store.Delete(t.Context(), d.o, d.id))
			each(t, raw, "*"+d.id, func(_ context.Context, key string, _ time.Duration) { t.Errorf("%s is left", key) })
			if l, err := p.Store.List(t.Context(), d.o, store.Page{}); err != nil || len(l.Conversations) != 0 || l.Corrupt != 0 {
				t.Errorf("after the delete: %+v, %v", l, err)
			}
			if err := p.Store.Delete(t.Context(), d.o, d.id); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("second delete: %v", err)
			}
		})
	}
	t.Run("started again", func(t *testing.T) { // what is left belongs to nobody
		p := open(t, url)
		d := fill(t, p, raw, false)
		put(t, raw.Del(t.Context(), d.keys["c"]).Err())
		turn, err := p.Store.BeginTurn(t.Context(), store.Begin{Owner: d.o, Conversation: d.id, New: true, Fingerprint: "f"})
		put(t, err)
		put(t, p.Store.CompleteTurn(t.Context(), turn, store.Completion{UpstreamID: "u"}))
		if c, err := p.Store.Conversation(t.Context(), d.o, d.id, store.Range{}); err != nil || len(c.Messages) != 0 {
			t.Errorf("it has %+v, %v", c, err)
		}
	})
}

// What is free text is never damage, and every other field is tried with some.
func TestDamageIsComplete(t *testing.T) {
	url := redistest.Start(t).URL()
	raw := client(t, url)
	p := open(t, url)
	for _, unheard := range []bool{false, true} {
		d := fill(t, p, raw, unheard)
		fields, err := raw.HGetAll(t.Context(), d.keys["c"]).Result()
		put(t, err)
		for name := range fields {
			if _, tried := damaged[name]; tried {
				continue
			}
			if !slices.Contains(free, name) {
				t.Errorf("nothing damages %s", name)
			}
			put(t, raw.HSet(t.Context(), d.keys["c"], name, "any text").Err())
		}
		if _, err := p.Store.SetStatus(t.Context(), d.o, d.id, store.StatusActive); err != nil {
			t.Errorf("free text was taken for damage: %v", err)
		}
	}
}
