package contracttest_test

import (
	"context"
	"crypto/rand"
	"testing"

	"parley/contracttest"
	"parley/store"
	"parley/store/memory"
)

// broken is a store that is wrong in one way, and the rules that must notice.
type broken struct {
	name   string
	mutate func(*mutant)
	breaks []string
}

func mutants() []broken {
	return []broken{
		{"drops card ids", completing(func(c *store.Completion) {
			for i := range c.Messages {
				c.Messages[i].CardID = ""
			}
		}), []string{"S1.round-trip"}},
		{"hands out what it keeps", aliasing, []string{"S1.no-alias"}},
		{"hides absence", hiding(store.ErrNotFound), []string{"S2.absent", "S2.starting", "S17.delete"}},
		{"ignores the tenant", func(m *mutant) {
			m.begin = func(s store.Store, ctx context.Context, b store.Begin) (store.Turn, error) {
				b.Owner.Tenant = ""
				return s.BeginTurn(ctx, b)
			}
		}, []string{"S2.owners"}},
		{"ignores after", func(m *mutant) {
			m.get = func(s store.Store, ctx context.Context, o store.Owner, id string, _ int) (store.Conversation, error) {
				return s.Conversation(ctx, o, id, -1)
			}
		}, []string{"S13.after"}},
		{"does not fence", func(m *mutant) {
			m.begin = func(s store.Store, ctx context.Context, b store.Begin) (store.Turn, error) {
				t, err := s.BeginTurn(ctx, b)
				t.Fence = 1
				return t, err
			}
		}, []string{"S3.begin", "S7.stale", "S9.failed", "S11.repeat"}},
		{"forgets the first turn of a start", completing(func(c *store.Completion) { c.Turns = 0 }), []string{"S3.first-turn"}},
		{"hides that a turn is held", hiding(store.ErrBusy), []string{"S4.conflict", "S4.replicas", "S4.race", "S9.busy", "S19.renew", "S19.revive"}},
		{"acknowledges and forgets", func(m *mutant) {
			m.complete = func(store.Store, context.Context, store.Turn, store.Completion) error { return nil }
		}, []string{"S5.complete", "S7.lapsed"}},
		{"takes every answer for heard", completing(func(c *store.Completion) { c.Unheard = false }), []string{"S11.unheard"}},
		{"ignores the end", completing(func(c *store.Completion) { c.Ended = false }), []string{"S5.ended"}},
		{"forgets why", func(m *mutant) {
			m.fail = func(s store.Store, ctx context.Context, t store.Turn, _ string) error {
				return s.FailTurn(ctx, t, "internal")
			}
		}, []string{"S8.fail"}},
		{"leaves a failed start", func(m *mutant) {
			m.fail = func(s store.Store, ctx context.Context, t store.Turn, _ string) error {
				return s.CompleteTurn(ctx, t, store.Completion{})
			}
		}, []string{"S8.failed-start"}},
		{"hides that it is closed", hiding(store.ErrClosed), []string{"S12.closed"}},
		{"takes a repeat for a stranger", onlyOnce, []string{"S6.complete-twice", "S6.fail-twice"}},
		{"hides that a turn was taken over", hiding(store.ErrStale), []string{"S7.stale", "S7.ended"}},
		{"ends turns with their lease", strict, []string{"S7.lapsed", "S19.revive"}},
		{"tells no inputs apart", changing(func(b *store.Begin) { b.Fingerprint = "same" }), []string{"S11.other", "S10.mismatch"}},
		{"takes all inputs for new", changing(func(b *store.Begin) {
			if b.Key == "" {
				b.Fingerprint = rand.Text()
			}
		}), []string{"S11.repeat", "S11.repeat-lapsed", "S9.handed-on"}},
		{"adopts what was answered", eager, []string{"S11.answered"}},
		{"does not renew", func(m *mutant) {
			m.renew = func(store.Store, context.Context, store.Turn) error { return nil }
		}, []string{"S19.renew"}},
		{"ignores keys", changing(func(b *store.Begin) { b.Key = "" }), []string{"S9.replay", "S9.start", "S9.other", "S10.mismatch", "S15.renewed"}},
		{"takes every key for new", changing(func(b *store.Begin) {
			if b.Key != "" {
				b.Key = rand.Text()
			}
		}), []string{"S9.failed", "S9.lapsed"}},
		{"replays the last answer", replayingLast, []string{"S9.replay-later"}},
		{"asks for the status first", askingFirst, []string{"S9.replay-closed", "S16.held"}},
		{"lists in any order", func(m *mutant) {
			m.list = func(s store.Store, ctx context.Context, o store.Owner, p store.Page) (store.Listing, error) {
				l, err := s.List(ctx, o, p)
				for i, j := 0, len(l.Conversations)-1; i < j; i, j = i+1, j-1 {
					l.Conversations[i], l.Conversations[j] = l.Conversations[j], l.Conversations[i]
				}
				return l, err
			}
		}, []string{"S14.order", "S14.pages"}},
		{"pages by number", counting, []string{"S14.deleted"}},
		{"lists what has expired", remembering, []string{"S14.expired"}},
		{"takes anything for a cursor", hiding(store.ErrCursor), []string{"S14.cursor"}},
		{"never forgets", immortal, []string{"S15.expires"}},
		{"does not renew the time to live", mortal, []string{"S15.renewed"}},
		{"says it changed the status", func(m *mutant) {
			m.status = func(s store.Store, ctx context.Context, o store.Owner, id string, st store.Status) (store.Conversation, error) {
				c, err := s.Conversation(ctx, o, id, -1)
				c.Status, c.Messages = st, nil
				return c, err
			}
		}, []string{"S16.status"}},
		{"closes instead of deleting", func(m *mutant) {
			m.remove = func(s store.Store, ctx context.Context, o store.Owner, id string) error {
				_, err := s.SetStatus(ctx, o, id, store.StatusAbandoned)
				return err
			}
		}, []string{"S17.delete"}},
		{"ignores its context", func(m *mutant) {
			m.get = func(s store.Store, ctx context.Context, o store.Owner, id string, after int) (store.Conversation, error) {
				return s.Conversation(context.WithoutCancel(ctx), o, id, after)
			}
		}, []string{"S18.canceled"}},
	}
}

func TestMutants(t *testing.T) {
	for _, m := range mutants() {
		t.Run(m.name, func(t *testing.T) {
			for _, id := range m.breaks {
				if broken, report := contracttest.Breaks(t, place(m.mutate), id); !broken {
					t.Errorf("a store that %s keeps %s %s", m.name, id, report)
				}
			}
		})
	}
}

func ownMemoryBreaks() []string { return []string{"S20.handles", "S4.replicas"} }

// A replica with a store of its own is what a silent fallback to memory is.
func TestMutantOwnMemory(t *testing.T) {
	b := place(func(*mutant) {})
	open := b.Open
	b.Open = func(tb testing.TB) *contracttest.Place {
		p := open(tb)
		p.Reopen = func(testing.TB) store.Store { return memory.New(memory.Options{}) }
		return p
	}
	for _, id := range ownMemoryBreaks() {
		if broken, _ := contracttest.Breaks(t, b, id); !broken {
			t.Errorf("a replica with a memory of its own keeps %s", id)
		}
	}
}

// A right store breaks no rule, and for every rule that a memory store can keep
// there is a mutant that breaks it. Those for the other rules stand beside the
// Redis store.
func TestRules(t *testing.T) {
	caught := map[string]bool{}
	for _, m := range mutants() {
		for _, id := range m.breaks {
			caught[id] = true
		}
	}
	for _, id := range ownMemoryBreaks() {
		caught[id] = true
	}
	seen := map[string]bool{}
	for _, r := range contracttest.Rules() {
		if seen[r.ID] || r.Sentence == "" {
			t.Errorf("rule %q is there twice, or has no sentence", r.ID)
		}
		seen[r.ID] = true
		if r.Needs == "" && !caught[r.ID] {
			t.Errorf("no mutant breaks %s", r.ID)
		}
		if broken, report := contracttest.Breaks(t, place(func(*mutant) {}), r.ID); broken {
			t.Errorf("a right store breaks %s: %s", r.ID, report)
		}
	}
}
