package contracttest_test

import (
	"testing"
	"time"

	"parley/contracttest"
	"parley/store"
	"parley/store/memory"
)

// newStore stands for the constructor of a store of your own.
func newStore(ttl time.Duration, now func() time.Time) store.Store {
	return memory.New(memory.Options{TTL: ttl, Now: now})
}

// yours is all that the suite has to know of your store. The time to live is the
// shortest that the suite takes.
var yours = contracttest.Backend{
	Open: func(testing.TB) *contracttest.Place {
		clock := contracttest.NewClock()
		s := newStore(contracttest.MinTTL, clock.Now)
		return &contracttest.Place{
			Store:   s,
			Reopen:  func(testing.TB) store.Store { return s },
			Advance: func(_ testing.TB, d time.Duration) { clock.Advance(d) },
			TTL:     contracttest.MinTTL,
		}
	},
	// The store lives in this process alone, so it has none of the abilities.
	Lacks: []contracttest.Ability{contracttest.Keys, contracttest.OwnClock, contracttest.Scripts, contracttest.Legacy, contracttest.Damages, contracttest.Tampers},
}

// The whole contract.
func TestExample(t *testing.T) { contracttest.Run(t, yours) }

// One rule alone.
func TestExampleOfOneRule(t *testing.T) {
	for _, r := range contracttest.Rules() {
		if r.ID == "S7.stale" {
			t.Log(r)
			contracttest.Check(t, yours, r)
		}
	}
}
