package redis

import (
	"context"
	"errors"
	"strconv"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"parley/store"
)

var _ store.Sharded = (*Store)(nil)

// spreadKeys is how many keys are read to find out whether a server that says that it
// is a node of a cluster has all slots.
const spreadKeys = 16

var (
	// errReplica says that the server which should be the primary is a replica.
	errReplica = errors.New("redis: the server is a replica")
	// errSentinel says that the server is a sentinel, which keeps no data.
	errSentinel = errors.New("redis: the server is a sentinel")
)

// Ping implements store.Store. It reads a key on every primary, and fails if that
// succeeds on none of them.
func (s *Store) Ping(ctx context.Context) error {
	if found := s.survey(ctx, "Ping"); found.Up == 0 {
		return found.Worst
	}
	return nil
}

// Shards implements store.Sharded. A PING would not do: a node of a cluster that is
// down answers it, and so do a replica and a sentinel.
func (s *Store) Shards(ctx context.Context) store.Shards { return s.survey(ctx, "Shards") }

// survey reads a key on every primary, on all at the same time.
func (s *Store) survey(ctx context.Context, op string) store.Shards {
	parts, err := s.every(ctx, op)
	if err != nil {
		return store.Shards{Worst: err}
	}
	errs := make([]error, len(parts))
	var looking sync.WaitGroup
	for i, p := range parts {
		looking.Go(func() {
			errs[i] = s.on(ctx, p.node, op, func(ctx context.Context, c *client) error { return s.readAt(ctx, c, p) })
		})
	}
	looking.Wait()
	found := store.Shards{Total: len(parts), SlotsTotal: s.topology.slots()}
	for i, err := range errs {
		// With ErrOverloaded it answers and this service is busy, or this process was
		// starved and nothing is known against it.
		if err == nil || errors.Is(err, store.ErrOverloaded) {
			found.Up++
			found.SlotsServed += parts[i].slots
			continue
		}
		found.Worst = moreTelling(found.Worst, err)
	}
	if found.Worst == nil && found.SlotsServed < found.SlotsTotal {
		found.Worst = classify(ctx, ctx, op, errUncovered)
	}
	return found
}

// readAt reads a key of a primary. Of one without slots it also finds out what it is:
// a replica answers reads, and a node of a cluster those of its own slots.
func (s *Store) readAt(ctx context.Context, c *client, p part) error {
	if p.slots > 0 {
		return absent(c.HGet(ctx, s.keyIn(p.slot), "none"))
	}
	pipe := c.Pipeline()
	read := pipe.HGet(ctx, s.keyIn(0), "none")
	said := pipe.Do(ctx, helloArgs(c.Client)...)
	if err := send(ctx, pipe); err != nil {
		return err
	}
	is := identity(said)
	if is.sentinel {
		return errSentinel
	}
	if err := absent(read); err != nil {
		return err
	}
	switch {
	case is.role == roleReplica:
		return errReplica
	case is.cluster:
		return s.readSpread(ctx, c)
	}
	return nil
}

// readSpread reads keys all over the slots, on a server that says that it is a node
// of a cluster. It may have all of them, or be a proxy that has.
func (s *Store) readSpread(ctx context.Context, c *client) error {
	pipe := c.Pipeline()
	reads := make([]*goredis.StringCmd, spreadKeys)
	for i := range reads {
		reads[i] = pipe.HGet(ctx, s.keyIn(i*slotCount/spreadKeys), "none")
	}
	if err := send(ctx, pipe); err != nil {
		return err
	}
	for _, read := range reads {
		if err := absent(read); err != nil {
			return err
		}
	}
	return nil
}

// absent is the error of a read of a key that nobody writes.
func absent(read *goredis.StringCmd) error {
	switch err := read.Err(); {
	case err == nil:
		return errShape
	case !errors.Is(err, goredis.Nil):
		return err
	}
	return nil
}

// keyIn is a key in a slot. It is never written.
func (s *Store) keyIn(slot int) string { return s.prefix + "{" + s.tags.in(slot) + "}:s" }

// tags are hash tags of slots, each found once.
type tags struct {
	mu    sync.Mutex
	known map[int]string
}

// in is a hash tag of a slot. To find one takes 16,384 tries on average, about a
// millisecond.
func (t *tags) in(slot int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tag, ok := t.known[slot]; ok {
		return tag
	}
	for i := 0; ; i++ {
		tag := strconv.Itoa(i)
		if slotOf(tag) == slot {
			if t.known == nil {
				t.known = map[int]string{}
			}
			t.known[slot] = tag
			return tag
		}
	}
}
