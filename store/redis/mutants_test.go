package redis_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/contracttest"
	"parley/contracttest/redistest"
	"parley/store"
)

// broken is a Redis store that does something more after its calls, or instead
// of them.
type broken struct {
	store.Store
	afterBegin  func(store.Begin)
	afterDelete func(id string)
	owner       func(store.Owner) store.Owner
	refuse      func() error
}

func (b *broken) BeginTurn(ctx context.Context, in store.Begin) (store.Turn, error) {
	if b.refuse != nil {
		if err := b.refuse(); err != nil {
			return store.Turn{}, err
		}
	}
	t, err := b.Store.BeginTurn(ctx, in)
	if b.afterBegin != nil {
		b.afterBegin(in)
	}
	return t, err
}

func (b *broken) Conversation(ctx context.Context, o store.Owner, id string, after int) (store.Conversation, error) {
	if b.owner != nil {
		o = b.owner(o)
	}
	return b.Store.Conversation(ctx, o, id, after)
}

func (b *broken) Delete(ctx context.Context, o store.Owner, id string) error {
	err := b.Store.Delete(ctx, o, id)
	if b.afterDelete != nil {
		b.afterDelete(id)
	}
	return err
}

// The rules that need a real place have their mutants here.
func TestMutants(t *testing.T) {
	url := redistest.Start(t).URL()
	raw := client(t, url)
	mutants := map[string]func(p *contracttest.Place, b *broken){
		"S15.every-key": func(_ *contracttest.Place, b *broken) {
			b.afterBegin = func(in store.Begin) {
				each(t, raw, "*"+in.Conversation, func(ctx context.Context, key string, _ time.Duration) { put(t, raw.Persist(ctx, key).Err()) })
			}
		},
		"S15.by-itself": func(p *contracttest.Place, _ *broken) {
			withTTL := p.WithTTL
			p.WithTTL = func(tb testing.TB, _ time.Duration) store.Store { return withTTL(tb, time.Hour) }
		},
		"S17.no-trace": func(p *contracttest.Place, b *broken) {
			kept := p.Keys
			var trace []contracttest.Key
			b.afterDelete = func(id string) { trace = append(trace, contracttest.Key{Name: "left:" + id, TTL: time.Minute}) }
			p.Keys = func(tb testing.TB) []contracttest.Key { return append(kept(tb), trace...) }
		},
		"S20.scripts": func(p *contracttest.Place, b *broken) {
			var lost error
			p.FlushScripts = func(testing.TB) { lost = &store.Error{Op: "BeginTurn", Kind: store.ErrRejected, Code: "NOSCRIPT"} }
			b.refuse = func() error { return lost }
		},
		"S20.legacy": func(p *contracttest.Place, _ *broken) {
			p.PutLegacy = func(testing.TB, store.Owner, string, []byte) {}
		},
		"S2.legacy-owner": func(_ *contracttest.Place, b *broken) {
			b.owner = func(o store.Owner) store.Owner { return store.Owner{Tenant: store.DefaultTenant, User: o.User} }
		},
	}
	for _, r := range contracttest.Rules() {
		mutate, ok := mutants[r.ID]
		if !ok {
			if r.Needs != "" {
				t.Errorf("no mutant breaks %s", r.ID)
			}
			continue
		}
		t.Run(r.ID, func(t *testing.T) {
			backend := contracttest.Backend{Open: func(tb testing.TB) *contracttest.Place {
				p := open(tb, url)
				b := &broken{Store: p.Store}
				p.Store = b
				mutate(p, b)
				return p
			}}
			if held, report := contracttest.Breaks(t, backend, r.ID); !held {
				t.Errorf("the mutant keeps the rule %s", report)
			}
		})
	}
}

// A record that does not decode is an error of its own and stays as it is; a
// list leaves it out and says so.
func TestCorruptRecord(t *testing.T) {
	url := redistest.Start(t).URL()
	raw := client(t, url)
	p := open(t, url)
	o := contracttest.NewOwner()
	start := func() string {
		id := uuid.NewString()
		turn, err := p.Store.BeginTurn(t.Context(), store.Begin{Owner: o, Conversation: id, New: true, Fingerprint: "f"})
		put(t, err)
		put(t, p.Store.CompleteTurn(t.Context(), turn, store.Completion{UpstreamID: "u"}))
		return id
	}
	good, bad := start(), start()
	each(t, raw, "*:c:"+bad, func(ctx context.Context, key string, _ time.Duration) {
		put(t, raw.HSet(ctx, key, "status", "open").Err())
	})
	each(t, raw, "*}:s", func(ctx context.Context, key string, _ time.Duration) {
		put(t, raw.HSet(ctx, key, bad, "nonsense").Err())
	})

	if _, err := p.Store.Conversation(t.Context(), o, bad, -1); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("Conversation: %v", err)
	}
	l, err := p.Store.List(t.Context(), o, store.Page{})
	if err != nil || l.Corrupt != 1 || len(l.Conversations) != 1 || l.Conversations[0].ID != good {
		t.Errorf("List: %+v, %v", l, err)
	}
	each(t, raw, "*:c:"+bad, func(ctx context.Context, key string, _ time.Duration) {
		if s := raw.HGet(ctx, key, "status").Val(); s != "open" {
			t.Errorf("the record was overwritten: %q", s)
		}
	})
	// A key of ours that holds something else altogether.
	each(t, raw, "*:c:"+good, func(ctx context.Context, key string, _ time.Duration) {
		put(t, raw.Set(ctx, key, "string", time.Minute).Err())
	})
	for op, err := range map[string]error{
		"Conversation": func() error { _, err := p.Store.Conversation(t.Context(), o, good, -1); return err }(),
		"BeginTurn": func() error {
			_, err := p.Store.BeginTurn(t.Context(), store.Begin{Owner: o, Conversation: good, Fingerprint: "f"})
			return err
		}(),
	} {
		if !errors.Is(err, store.ErrCorrupt) || err != nil && strings.Contains(err.Error(), o.User) {
			t.Errorf("%s of a string: %v", op, err)
		}
	}
}
