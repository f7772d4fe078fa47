package memory_test

import (
	"testing"
	"time"

	"parley/contracttest"
	"parley/store"
	"parley/store/memory"
)

// STORE-02: the memory store keeps the whole contract.
func TestContract(t *testing.T) {
	contracttest.Run(t, contracttest.Backend{
		Lacks: []contracttest.Ability{contracttest.Keys, contracttest.Scripts, contracttest.OwnClock, contracttest.Legacy, contracttest.Tampers},
		Open: func(testing.TB) *contracttest.Place {
			clock := contracttest.NewClock()
			s := memory.New(memory.Options{TTL: time.Hour, Now: clock.Now})
			return &contracttest.Place{
				Store: s, TTL: time.Hour,
				Reopen:  func(testing.TB) store.Store { return s }, // a process has but one
				Advance: func(_ testing.TB, d time.Duration) { clock.Advance(d) },
				Damage:  func(_ testing.TB, o store.Owner, id string) { s.Damage(o, id) },
			}
		},
	})
}
