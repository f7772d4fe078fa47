// Package mutants has stores that are wrong on purpose, each in one way that a
// real store could be wrong in. They test the tests: every rule of the contract
// suite, and the fault matrix, the histories and the chaos test beside it, must
// find the mutants that name it.
//
// A mutant decorates a right store, so the same one breaks a store in memory, a
// store on Redis, and a whole service.
package mutants

import (
	"context"
	"slices"
	"time"

	"parley/store"
)

// Mutant is one broken store.
type Mutant struct {
	Name  string // of letters and dashes; names its tests
	Wrong string // one sentence that says what is wrong with it

	// Rules are the ids of the rules of contracttest that it breaks. Of the rules
	// that need nothing it breaks these and no others. Of those that need an
	// ability it breaks these and no others if it names one at all; else nobody
	// tries them.
	Rules []string
	// Cells are cells of contracttest/matrix that fail with it.
	Cells []Cell
	// Attacks are the ids of attacks of one caller on others, in contracttest/matrix, that
	// succeed with it.
	Attacks []string
	// History says that package contracttest/history finds it within three seeds.
	History bool
	// Chaos says that the chaos test finds it within three seeds.
	Chaos bool

	// Break decorates one handle of a right store. Every handle has its own
	// decorator, as every replica has its own memory.
	Break func(s store.Store, o Options) store.Store
}

// Cell names a cell of the fault matrix: the id of a row and a column.
type Cell struct{ Row, Column string }

// Options are what some mutants need beside the store. A mutant is right where
// what it needs is missing.
type Options struct {
	Now    func() time.Time   // the clock of the store; nil for time.Now
	TTL    time.Duration      // of the store's conversations; 0 for an hour
	Ahead  time.Duration      // how much the clock of the handle's instance is ahead of the store's
	Memory func() store.Store // makes an empty store in memory; nil for none
	// AgentError makes an error of the agent's client; nil for none.
	AgentError func(cause error) error
	// Persist takes the time to live from all keys of a conversation; nil for none.
	Persist func(ctx context.Context, conversation string) error
	// ScriptsLost reports whether the server has lost its scripts; nil for never.
	ScriptsLost func() bool
}

// All returns every mutant.
func All() []Mutant {
	return slices.Concat(records(), turns(), ends(), repeats(), keys(), lists(), life(), relays(), outages(), greedy())
}

func (o Options) now() time.Time {
	if o.Now == nil {
		return time.Now()
	}
	return o.Now()
}

func (o Options) ttl() time.Duration {
	if o.TTL == 0 {
		return time.Hour
	}
	return o.TTL
}
