package history_test

import (
	"testing"
	"time"

	"parley/contracttest"
	"parley/contracttest/history"
	"parley/contracttest/mutants"
	"parley/store"
	"parley/store/memory"
)

// place is a memory store, broken by m.
func place(m mutants.Mutant) *contracttest.Place {
	clock := contracttest.NewClock()
	s := m.Break(memory.New(memory.Options{TTL: time.Hour, Now: clock.Now}), mutants.Options{Now: clock.Now, TTL: time.Hour})
	return &contracttest.Place{
		Store: s, TTL: time.Hour,
		Reopen:  func(testing.TB) store.Store { return s },
		Advance: func(_ testing.TB, d time.Duration) { clock.Advance(d) },
	}
}

// none is a mutant with nothing wrong.
var none = mutants.Mutant{Break: func(s store.Store, _ mutants.Options) store.Store { return s }}

func TestMemoryIsLinearizable(t *testing.T) {
	for seed := range uint64(30) {
		for _, lapses := range []bool{false, true} {
			if report := history.Linearizable(t, place(none), seed, lapses); report != "" {
				t.Errorf("lapses %v: %s", lapses, report)
			}
		}
	}
}

// A store that loses answers, or gives them twice, is found: most by the first seeds, one that
// fails only where two calls meet by a later one.
func TestMutants(t *testing.T) {
	for _, m := range mutants.All() {
		if !m.History {
			continue
		}
		t.Run(m.Name, func(t *testing.T) {
			for seed := range uint64(100) {
				for _, lapses := range []bool{false, true} {
					if report := history.Linearizable(t, place(m), seed, lapses); report != "" {
						return
					}
				}
			}
			t.Errorf("not found: %s", m.Wrong)
		})
	}
}
