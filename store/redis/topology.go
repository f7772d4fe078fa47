package redis

import (
	"context"
	"errors"
	"time"

	"parley/store"
)

// topology is what a Store knows of its primaries: one that is always the same, or
// those of a cluster.
type topology interface {
	// at is the primary of an owner's keys. It may wait for as long as nobody knows
	// which that is. The error says why there is none.
	at(ctx context.Context, o store.Owner) (*node, error)
	// all are the primaries, in the order of their slots, for a call that is not about
	// an owner. It waits like at.
	all(ctx context.Context) ([]part, error)
	// slots is how many there are; 0 if the primaries have none.
	slots() int
	// nodes are those that are known now.
	nodes() []*node
	// pool is the state of all connections.
	pool() Pool
	close() error
}

// part is a primary and what it has.
type part struct {
	*node
	slots int // how many
	slot  int // one of them
}

// fixed is the topology of a Store with one primary. Where that moves, as it does
// with sentinels, its node's dialer finds it.
type fixed struct{ primary *node }

// newFixed looks for connections of the primary that lead to a replica every interval.
func newFixed(primary *node, interval time.Duration) fixed {
	primary.running.Go(func() { primary.watchRoles(interval) })
	return fixed{primary}
}

func (f fixed) at(context.Context, store.Owner) (*node, error) { return f.primary, nil }

func (f fixed) nodes() []*node { return []*node{f.primary} }

func (f fixed) all(context.Context) ([]part, error) { return []part{{node: f.primary}}, nil }

func (f fixed) slots() int { return 0 }

func (f fixed) pool() Pool { return f.primary.pool() }

func (f fixed) close() error { return f.primary.close() }

// fromOldPlace reports whether an error of a call can come from a server that is not the
// primary any more.
func fromOldPlace(err error) bool {
	for _, kind := range []error{store.ErrUnreachable, store.ErrTimeout, store.ErrNotReady, store.ErrReadOnly} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}
