package redis_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"parley/contracttest/matrix"
	"parley/store"
	"parley/store/redis"
)

// shardMutant is a store of a cluster that is wrong in one way.
type shardMutant struct {
	about string // what is wrong with it
	row   string // the row that finds it
	on    matrix.Deployment
	wrong func(s *redis.Store, another func() *redis.Store) store.Store
}

func shardMutants() []shardMutant {
	return []shardMutant{
		{
			about: "has one breaker for all shards", row: "shard-refused", on: matrix.Bare,
			wrong: func(s *redis.Store, _ func() *redis.Store) store.Store { return &oneBreaker{Store: s} },
		},
		{
			about: "tells how it is by PING", row: "shard-uncovered", on: matrix.Bare,
			wrong: func(s *redis.Store, _ func() *redis.Store) store.Store { return pinging{s} },
		},
		{
			about: "never looks for a new map", row: "primary-killed", on: matrix.Paired,
			wrong: func(s *redis.Store, _ func() *redis.Store) store.Store { s.KeepFirstMap(); return s },
		},
		{
			about: "redirects whole pipelines", row: "slot-half-moved", on: matrix.Paired,
			wrong: func(s *redis.Store, _ func() *redis.Store) store.Store { s.RedirectWhole(); return s },
		},
		{
			about: "reads from replicas", row: "replica-hung", on: matrix.Paired,
			wrong: func(s *redis.Store, another func() *redis.Store) store.Store {
				reads := another()
				reads.GoToReplicas()
				return divided{s, reads}
			},
		},
	}
}

// Each mutant breaks the promise of the row that names it.
func TestShardMutants(t *testing.T) {
	redis.Slow(t)
	for _, on := range []matrix.Deployment{matrix.Bare, matrix.Paired} {
		t.Run(string(on), func(t *testing.T) {
			t.Parallel()
			d := matrix.Deploy(t, on)
			for _, m := range shardMutants() {
				if m.on == on {
					t.Run(m.about, func(t *testing.T) { m.found(t, d) })
				}
			}
		})
	}
}

func (m shardMutant) found(t *testing.T, d *matrix.Deployed) {
	target := matrix.Target{Class: matrix.StoreClass, Store: func(tb testing.TB, w matrix.Settings) store.Store {
		tb.Helper()
		open := func() *redis.Store {
			s, err := redis.New(redis.Options{URL: w.RedisURL, Prefix: w.Prefix, Timeout: w.Timeout, Mode: redis.Mode(w.Mode), Nodes: w.Nodes})
			if err != nil {
				tb.Fatal(err)
			}
			tb.Cleanup(func() { _ = s.Close() })
			return s
		}
		return m.wrong(open(), open)
	}}
	for _, r := range matrix.ShardRows() {
		if r.ID != m.row {
			continue
		}
		e := matrix.RunShards(t, target, d, r)
		if len(e.Broken) == 0 {
			t.Errorf("%s: nothing found", m.row)
		}
		t.Logf("%q", e.Broken)
		return
	}
	t.Errorf("there is no row %q", m.row)
}

// oneBreaker answers for all shards as long as some calls have failed of late.
type oneBreaker struct {
	*redis.Store
	mu       sync.Mutex
	failures []time.Time
}

func (b *oneBreaker) guard(op string, call func() error) error {
	b.mu.Lock()
	open := len(b.failures) >= 5 && time.Since(b.failures[len(b.failures)-5]) < time.Second
	b.mu.Unlock()
	if open {
		return &store.Error{Op: op, Kind: store.ErrUnreachable}
	}
	err := call()
	if errors.Is(err, store.ErrUnreachable) || errors.Is(err, store.ErrTimeout) {
		b.mu.Lock()
		b.failures = append(b.failures, time.Now())
		b.mu.Unlock()
	}
	return err
}

func (b *oneBreaker) BeginTurn(ctx context.Context, begin store.Begin) (t store.Turn, err error) {
	err = b.guard("BeginTurn", func() error { t, err = b.Store.BeginTurn(ctx, begin); return err })
	return t, err
}

func (b *oneBreaker) CompleteTurn(ctx context.Context, t store.Turn, c store.Completion) error {
	return b.guard("CompleteTurn", func() error { return b.Store.CompleteTurn(ctx, t, c) })
}

func (b *oneBreaker) Conversation(ctx context.Context, o store.Owner, id string, r store.Range) (c store.Conversation, err error) {
	err = b.guard("Conversation", func() error { c, err = b.Store.Conversation(ctx, o, id, r); return err })
	return c, err
}

func (b *oneBreaker) List(ctx context.Context, o store.Owner, p store.Page) (l store.Listing, err error) {
	err = b.guard("List", func() error { l, err = b.Store.List(ctx, o, p); return err })
	return l, err
}

// pinging tells by PING how its shards are.
type pinging struct{ *redis.Store }

func (p pinging) Shards(ctx context.Context) store.Shards { return p.PingShards(ctx) }

// divided writes to primaries and reads from replicas.
type divided struct {
	*redis.Store
	reads *redis.Store
}

func (d divided) Conversation(ctx context.Context, o store.Owner, id string, r store.Range) (store.Conversation, error) {
	return d.reads.Conversation(ctx, o, id, r)
}

func (d divided) List(ctx context.Context, o store.Owner, p store.Page) (store.Listing, error) {
	return d.reads.List(ctx, o, p)
}
