package redis_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest"
	"parley/contracttest/mutants"
	"parley/contracttest/redistest"
	"parley/store"
	"parley/store/redis"
)

// Of the rules that need more than a store in memory has, a mutant breaks those
// that it names and no others.
func TestMutantsOnRedis(t *testing.T) {
	redis.Slow(t)
	url := redistest.Start(t).URL()
	raw := client(t, url)
	for _, m := range mutants.All() {
		var want []string
		for _, r := range contracttest.Rules() {
			if r.Needs != "" && slices.Contains(m.Rules, r.ID) {
				want = append(want, r.ID)
			}
		}
		if len(want) == 0 {
			continue // the suite's own test has tried it
		}
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			backend := contracttest.Backend{Open: func(tb testing.TB) *contracttest.Place { return mutate(tb, open(tb, url), raw, m) }}
			var got []string
			for _, r := range contracttest.Rules() {
				if r.Needs == "" {
					continue
				}
				if broken, _ := contracttest.Breaks(t, backend, r.ID); broken {
					got = append(got, r.ID)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s\n\tit breaks %q\n\tit names  %q", m.Wrong, got, want)
			}
		})
	}
}

// mutate breaks every handle of a place.
func mutate(tb testing.TB, p *contracttest.Place, raw *goredis.Client, m mutants.Mutant) *contracttest.Place {
	tb.Helper()
	lost := false
	o := mutants.Options{
		Persist: func(_ context.Context, conversation string) error {
			each(tb, raw, "*"+conversation, func(ctx context.Context, key string, _ time.Duration) { put(tb, raw.Persist(ctx, key).Err()) })
			return nil
		},
		ScriptsLost: func() bool { return lost },
	}
	reopen, instance, flush := p.Reopen, p.Instance, p.FlushScripts
	p.Store = m.Break(p.Store, o)
	p.Reopen = func(tb testing.TB) store.Store { return m.Break(reopen(tb), o) }
	p.Instance = func(tb testing.TB, ttl, ahead time.Duration) store.Store {
		of := o
		of.Ahead = ahead
		return m.Break(instance(tb, ttl, ahead), of)
	}
	p.FlushScripts = func(tb testing.TB) {
		flush(tb)
		lost = true
	}
	return p
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

	if _, err := p.Store.Conversation(t.Context(), o, bad, store.Range{}); !errors.Is(err, store.ErrCorrupt) {
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
		"Conversation": func() error { _, err := p.Store.Conversation(t.Context(), o, good, store.Range{}); return err }(),
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
