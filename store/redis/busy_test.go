package redis

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
	"parley/store"
)

// These are the ways in which callers, and not Redis, keep each other waiting.

// large returns a call that reads so many bytes, on a Redis that holds them.
func large(t *testing.T, redis *redistest.Server, s *Store, size int) func(context.Context) error {
	t.Helper()
	opt, err := goredis.ParseURL(redis.URL())
	if err != nil {
		t.Fatal(err)
	}
	raw := goredis.NewClient(opt)
	defer func() { _ = raw.Close() }()
	if err := raw.Set(t.Context(), "large", strings.Repeat("x", size), time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context) error {
		return s.do(ctx, owner, "Conversation", func(ctx context.Context, c *client) error { return c.Get(ctx, "large").Err() })
	}
}

// Many read more than the network carries in time. Their own calls time out, and
// say why; everybody else is served, and the breaker stays closed.
func TestLargeReadsOverASlowNetwork(t *testing.T) {
	Slow(t)
	redis := redistest.Start(t)
	p := faultproxy.Start(t, redis.Addr())
	s := newStore(t, "redis://"+p.Addr(), 2*time.Second)
	read := large(t, redis, s, 4<<20)
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.Set(faultproxy.Throttle(400 << 10))
	var reading sync.WaitGroup
	var failed atomic.Int32
	for range 8 {
		reading.Go(func() {
			for range 2 {
				err := read(t.Context())
				e, ok := errors.AsType[*store.Error](err)
				if !ok || !errors.Is(err, store.ErrTimeout) || isOpen(err) || !strings.Contains(e.Reason, "bytes received") {
					t.Errorf("a large read: %v", err)
				}
				failed.Add(1)
			}
		})
	}
	answered := 0
	for failed.Load() < 16 {
		if err := s.Ping(t.Context()); err != nil {
			t.Errorf("another call: %v", err)
		}
		answered++
	}
	reading.Wait()
	if s.BreakerOpen() {
		t.Error("the breaker is open")
	}
	t.Logf("%d others were answered", answered)
}

// Nothing but calls that are slow for their size is no reason to ask Redis; five
// that nothing came of are one, and what Redis itself says decides.
func TestWhatOpensTheBreaker(t *testing.T) {
	Slow(t)
	asked := func(what string, fault faultproxy.Fault, call func(*Store, context.Context) error, want BreakerEvent) {
		t.Helper()
		redis := redistest.Start(t)
		p := faultproxy.Start(t, redis.Addr())
		events := make(chan BreakerEvent, 10)
		s, err := New(Options{URL: "redis://" + p.Addr(), Timeout: timeout, Trace: Trace{Breaker: func(e BreakerEvent) { events <- e }}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		if err := s.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.Set(fault)
		for range tripAfter {
			if err := call(s, t.Context()); err == nil || isOpen(err) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if want.Reason == "" {
			if len(events) != 0 || s.one().current.Load().failures.Load() != 0 {
				t.Errorf("%s: %v", what, <-events)
			}
			return
		}
		if e := <-events; e.Open != want.Open || e.Reason != want.Reason || e.Err == nil || e.Open != s.BreakerOpen() {
			t.Errorf("%s: %+v", what, e)
		}
	}
	get := func(s *Store, ctx context.Context) error {
		return s.do(ctx, owner, "List", func(ctx context.Context, c *client) error { return c.Get(ctx, "none").Err() })
	}
	write := func(s *Store, ctx context.Context) error {
		return s.do(ctx, owner, "CompleteTurn", func(ctx context.Context, c *client) error {
			return c.Set(ctx, "large", strings.Repeat("x", 2*largeCall), time.Minute).Err()
		})
	}
	all := faultproxy.AllConns
	asked("replies that drip", faultproxy.Drip(timeout/3), get, BreakerEvent{})
	asked("large writes", faultproxy.LoseReply(), write, BreakerEvent{})
	asked("no replies", faultproxy.LoseReply(), get, BreakerEvent{Reason: reasonReplaced})
	asked("a black hole", faultproxy.BlackHole(faultproxy.Replies, all), get, BreakerEvent{Reason: reasonSilent, Open: true})
	asked("a closed door", faultproxy.Refuse(), get, BreakerEvent{Reason: reasonSilent, Open: true})
}

// A caller who finds all connections in use is told that it is this service's own
// doing while Redis answers on them, and Redis's where nothing comes on any.
func TestAllConnectionsInUse(t *testing.T) {
	Slow(t)
	redis := redistest.Start(t)
	for what, c := range map[string]struct {
		fault faultproxy.Fault
		want  error
	}{
		"large reads":  {faultproxy.Throttle(400 << 10), store.ErrOverloaded},
		"a black hole": {faultproxy.BlackHole(faultproxy.Requests, faultproxy.AllConns), store.ErrPoolExhausted},
	} {
		p := faultproxy.Start(t, redis.Addr())
		// Half of that is the wait for a connection: a slow machine has to begin all reads
		// before the first of them ends.
		s := newStore(t, "redis://"+p.Addr(), 4*time.Second)
		read := large(t, redis, s, 8<<20)
		if err := s.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.Set(c.fault)
		ctx, leave := context.WithCancel(t.Context())
		var reading sync.WaitGroup
		for range s.rdb().Options().PoolSize {
			reading.Go(func() { _ = read(ctx) })
		}
		eventually(t, "all connections are in use", func() bool { return s.Pool().Used == s.Pool().Max })
		err := s.do(t.Context(), owner, "List", func(ctx context.Context, c *client) error { return c.Get(ctx, "none").Err() })
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
		if e, ok := errors.AsType[*store.Error](err); !ok || !e.Transient() {
			t.Errorf("%s: a repeat is ruled out: %v", what, err)
		}
		leave()
		reading.Wait()
	}
}
