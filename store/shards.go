package store

import "context"

// Shards is what a look at every shard of a store has found.
type Shards struct {
	// Up is how many shards serve, of Total. Total is 0 while nobody knows how the
	// store is divided.
	Up, Total int
	// SlotsServed is how many slots belong to shards that serve, of SlotsTotal. Both
	// are 0 for a store that has no slots.
	SlotsServed, SlotsTotal int
	// Worst is the error of a shard that does not serve, of several one that does not
	// pass by itself (Error.Transient); nil when all serve. If Total is 0 it is why.
	Worst error
}

// Sharded is a Store that is divided into shards, each of which can fail alone. One
// that is not divided need not have it, and is one shard if it has.
type Sharded interface {
	// Shards reads a key on every shard, on all at the same time, and reports what came
	// of it. It touches no conversation. A shard that does not answer before ctx is
	// done does not serve; Shards itself returns then.
	Shards(ctx context.Context) Shards
}
