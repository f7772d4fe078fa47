package redis

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
	"parley/store"
)

// complete begins a turn and returns what completes it with a text of that size.
func complete(t *testing.T, s *Store, size int) func(context.Context) error {
	t.Helper()
	id := uuid.NewString()
	turn, err := s.BeginTurn(t.Context(), store.Begin{Owner: owner, Conversation: id, New: true, Fingerprint: "f"})
	if err != nil {
		t.Fatal(err)
	}
	text := store.Message{ID: uuid.NewString(), Role: store.RoleAssistant, Kind: store.KindText, Text: strings.Repeat("x", size)}
	return func(ctx context.Context) error {
		return s.CompleteTurn(ctx, turn, store.Completion{UpstreamID: "u", Outcome: store.Outcome{Messages: []store.Message{text}}})
	}
}

// A write that is larger than Redis accepts is refused for good, is sent a few
// times at most, and opens the breaker for nobody.
func TestLargerThanRedisAccepts(t *testing.T) {
	Slow(t)
	for limit, flags := range map[string][]string{
		"one argument": {"--proto-max-bulk-len", "1mb"},
		"one command":  {"--client-query-buffer-limit", "1mb"},
	} {
		p := faultproxy.Start(t, redistest.Start(t, flags...).Addr())
		s := newStore(t, "redis://"+p.Addr(), 5*time.Second)
		if err := complete(t, s, 500<<10)(t.Context()); err != nil {
			t.Errorf("%s: a write that fits: %v", limit, err)
		}
		for range 2 * tripAfter {
			write := complete(t, s, 3<<20)
			p.Reset()
			err := write(t.Context())
			e, ok := errors.AsType[*store.Error](err)
			if !ok || !errors.Is(err, store.ErrRejected) || e.Transient() {
				t.Errorf("%s: %v (%v)", limit, err, e)
			}
			if n := p.Came(faultproxy.Scripts()); n > 3 {
				t.Errorf("%s: sent %d times", limit, n)
			}
		}
		if err := s.Ping(t.Context()); err != nil {
			t.Errorf("%s: afterwards: %v", limit, err)
		}
	}
}

// A write that is larger than we allow is not sent at all, and says so.
func TestLargerThanWeSend(t *testing.T) {
	p := faultproxy.Start(t, redistest.Start(t).Addr())
	s, err := New(Options{URL: "redis://" + p.Addr(), MaxWriteBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := complete(t, s, 500<<10)(t.Context()); err != nil {
		t.Errorf("a write that fits: %v", err)
	}
	write := complete(t, s, 1<<20)
	p.Reset()
	e, ok := errors.AsType[*store.Error](write(t.Context()))
	if !ok || !errors.Is(e, store.ErrRejected) || e.Transient() || e.Reason == "" {
		t.Errorf("%#v", e)
	}
	if n := p.Came(faultproxy.All); n != 0 {
		t.Errorf("%d commands were sent", n)
	}
}

// A large write whose connection is cut by something else is no larger than
// Redis accepts: it is stored when the way is good again, or may be repeated.
func TestLargeWriteLost(t *testing.T) {
	p := faultproxy.Start(t, redistest.Start(t).Addr())
	s := newStore(t, "redis://"+p.Addr(), 5*time.Second)
	write := complete(t, s, 2<<20)
	p.Set(faultproxy.CutBefore(faultproxy.RST).On(faultproxy.Scripts()).Next(2))
	if err := write(t.Context()); err != nil {
		t.Errorf("cut twice: %v", err)
	}
	write = complete(t, s, 2<<20)
	p.Set(faultproxy.CutBefore(faultproxy.RST).On(faultproxy.All))
	p.KillConns(faultproxy.RST)
	e, ok := errors.AsType[*store.Error](write(t.Context()))
	if !ok || !e.Transient() {
		t.Errorf("cut always: %#v", e)
	}
	p.Heal()
	small := complete(t, s, 100)
	p.Set(faultproxy.CutBefore(faultproxy.RST).On(faultproxy.Scripts()))
	if e, ok := errors.AsType[*store.Error](small(t.Context())); !ok || !e.Transient() {
		t.Errorf("a small one, cut always: %#v", e)
	}
	p.Heal()
}
