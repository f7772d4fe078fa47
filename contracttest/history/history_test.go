package history_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"parley/contracttest"
	"parley/contracttest/history"
	"parley/store"
	"parley/store/memory"
)

// place is a memory store, broken by mutate.
func place(mutate func(store.Store) store.Store) *contracttest.Place {
	clock := contracttest.NewClock()
	s := mutate(memory.New(memory.Options{TTL: time.Hour, Now: clock.Now}))
	return &contracttest.Place{
		Store: s, TTL: time.Hour,
		Reopen:  func(testing.TB) store.Store { return s },
		Advance: func(_ testing.TB, d time.Duration) { clock.Advance(d) },
	}
}

func right(s store.Store) store.Store { return s }

func TestMemoryIsLinearizable(t *testing.T) {
	for seed := range uint64(30) {
		for _, lapses := range []bool{false, true} {
			if report := history.Linearizable(t, place(right), seed, lapses); report != "" {
				t.Errorf("lapses %v: %s", lapses, report)
			}
		}
	}
}

// Stores that are wrong in a way that loses answers, or gives them twice, are
// found out within three seeds.
func TestMutants(t *testing.T) {
	for name, mutate := range map[string]func(store.Store) store.Store{
		"fence dropped":                    func(s store.Store) store.Store { return &unfenced{s} },
		"acknowledged before it is stored": func(s store.Store) store.Store { return &hasty{s} },
		"served without being stored":      func(s store.Store) store.Store { return &serving{Store: s, answers: map[string]store.Completion{}} },
		"busy is not said":                 func(s store.Store) store.Store { return &rude{s} },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(3) {
				for _, lapses := range []bool{false, true} {
					if report := history.Linearizable(t, place(mutate), seed, lapses); report != "" {
						return
					}
				}
			}
			t.Error("it was not found out")
		})
	}
}

// unfenced stores the answer of a turn that was taken over.
type unfenced struct{ store.Store }

func (u *unfenced) CompleteTurn(ctx context.Context, t store.Turn, c store.Completion) error {
	err := u.Store.CompleteTurn(ctx, t, c)
	if !errors.Is(err, store.ErrStale) {
		return err
	}
	turn, err := u.BeginTurn(ctx, store.Begin{Owner: t.Owner, Conversation: t.Conversation, Fingerprint: t.Token})
	if err != nil {
		return nil //nolint:nilerr // that it acknowledges is what is wrong with it
	}
	return u.Store.CompleteTurn(ctx, turn, c)
}

// hasty acknowledges a completion and carries it out later.
type hasty struct{ store.Store }

func (h *hasty) CompleteTurn(ctx context.Context, t store.Turn, c store.Completion) error {
	go func() { _ = h.Store.CompleteTurn(ctx, t, c) }()
	return nil
}

// serving answers a repeat from what it has in hand.
type serving struct {
	store.Store
	mu      sync.Mutex
	answers map[string]store.Completion
}

func (s *serving) BeginTurn(ctx context.Context, b store.Begin) (store.Turn, error) {
	s.mu.Lock()
	c, ok := s.answers[b.Key]
	s.mu.Unlock()
	t, err := s.Store.BeginTurn(ctx, b)
	if ok && b.Key != "" && errors.Is(err, store.ErrBusy) {
		return store.Turn{Owner: b.Owner, Conversation: b.Conversation, Replay: &c.Outcome}, nil
	}
	if err == nil && b.Key != "" {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.answers[b.Key] = store.Completion{Outcome: store.Outcome{Messages: []store.Message{{Text: fmt.Sprint("answer of turn ", t.Number)}}}}
	}
	return t, err
}

// rude lets a second turn run beside the first.
type rude struct{ store.Store }

func (r *rude) BeginTurn(ctx context.Context, b store.Begin) (store.Turn, error) {
	t, err := r.Store.BeginTurn(ctx, b)
	var busy *store.BusyError
	if errors.As(err, &busy) {
		return store.Turn{Owner: b.Owner, Conversation: b.Conversation, Number: busy.Turn}, nil
	}
	return t, err
}
