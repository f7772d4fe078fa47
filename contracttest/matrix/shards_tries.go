package matrix

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"parley/contracttest/faultproxy"
	"parley/store"
)

const (
	wrongPass = "WRONGPASS invalid username-password pair or user is disabled."
	// askingTime is how long a store may wait for nodes that say nothing, while it
	// finds out where things are.
	askingTime = 500 * time.Millisecond
)

// at are settings that lead to a proxy, and to these nodes beside it.
func (b *shardbed) at(w Settings, p *faultproxy.Proxy, nodes []string) Settings {
	w.RedisURL = fmt.Sprintf("redis://%s:%s@%s", serviceUser, servicePass, p.Addr())
	w.Nodes = nodes
	return w
}

// seed is a row in which a store begins with an address that is of no use, while all
// nodes are well: the first call of each shard must succeed, and soon.
func seed(id, fault string, f faultproxy.Fault) ShardRow {
	return ShardRow{ID: id, Fault: fault, On: Bare, try: func(b *shardbed, t Target) []string {
		p := faultproxy.Start(b.tb, b.hurt.Server.Addr())
		p.Set(f)
		cold := t.Store(b.tb, b.at(b.settings(b.prefix, Patience, 0), p, b.addrs()))
		return b.first(cold, askingTime+b.atOnce(), func(err error) bool { return err == nil })
	}}
}

// noMap is a row in which nobody can say where things are: each call must say why,
// and at once.
func noMap(id, fault string, f faultproxy.Fault, class string) ShardRow {
	return ShardRow{ID: id, Fault: fault, On: Bare, try: func(b *shardbed, t Target) []string {
		p := faultproxy.Start(b.tb, b.hurt.Server.Addr())
		p.Set(f)
		// Longer than anybody waits here, so that a class cannot come of it.
		cold := t.Store(b.tb, b.at(b.settings(b.prefix, Patience, 0), p, nil))
		return b.first(cold, b.atOnce(), func(err error) bool { return t.Class(err) == class })
	}}
}

// first has all talkers read at once, through a store that has just been made.
func (b *shardbed) first(s store.Store, limit time.Duration, right func(error) bool) (broken []string) {
	var mu sync.Mutex
	var reading sync.WaitGroup
	for _, t := range b.load.talkers {
		reading.Go(func() {
			began := time.Now()
			_, err := s.Conversation(b.tb.Context(), t.owner, t.id, store.Range{})
			took := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			if !right(err) && !b.stalled(StoreClass(err), askingTime) || took > limit {
				broken = append(broken, fmt.Sprintf("the first read of shard %d: %v after %v, allowed are %v", t.shard, err, took, limit))
			}
		})
	}
	reading.Wait()
	return broken
}

// halfMoved moves a slot, a key at a time, in two orders, and reads after each key
// all that is in it.
func halfMoved(b *shardbed, _ Target) (broken []string) {
	b.tb.Helper()
	for i, t := range b.hurtTalkers()[:2] {
		if err := b.halfMove(t, i == 1); err != nil {
			broken = append(broken, err.Error())
		}
	}
	return broken
}

// hurtTalkers are those of the shard that is hurt.
func (b *shardbed) hurtTalkers() []*talker {
	return slices.DeleteFunc(slices.Clone(b.load.talkers), func(t *talker) bool { return t.shard != b.shard })
}

func (b *shardbed) halfMove(t *talker, reversed bool) error {
	ctx := b.tb.Context()
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for range 3 {
		if !t.say(ctx, tick) {
			return errors.New("a turn before the slot moves fails")
		}
		t.next++
	}
	want, err := t.kept(ctx, t.store)
	if err != nil {
		return err
	}
	m, err := b.cluster.Migrate(ctx, b.cluster.Slot(b.tb, t.key), b.hurt, b.primaries(b.tb)[b.shard+1])
	if err != nil {
		return err
	}
	keys, err := m.Keys(ctx, 100)
	if err != nil || len(keys) < 4 {
		return fmt.Errorf("the slot has %d keys: %w", len(keys), err)
	}
	if slices.Sort(keys); reversed {
		slices.Reverse(keys)
	}
	if err := b.exact(ctx, t, texts(want)); err != nil {
		return fmt.Errorf("before the first key: %w", err)
	}
	for i, k := range keys {
		if err := m.Move(ctx, k); err != nil {
			return err
		}
		if err := b.exact(ctx, t, texts(want)); err != nil {
			return fmt.Errorf("with %d of %d keys moved, the last %s: %w", i+1, len(keys), k[len(b.prefix):], err)
		}
	}
	if err := m.Finish(ctx); err != nil {
		return err
	}
	if !t.say(ctx, tick) {
		return errors.New("a turn after the slot has moved fails")
	}
	return b.exact(ctx, t, texts(want)+" "+t.question(t.next)+" "+t.answer(t.next))
}

// exact reads through every instance what there is, and what there is not.
func (b *shardbed) exact(ctx context.Context, t *talker, want string) error {
	for i, s := range b.stores {
		got, err := t.kept(ctx, s)
		if err != nil || texts(got) != want {
			return fmt.Errorf("instance %d reads %q, not %q: %w", i, texts(got), want, err)
		}
		list, err := s.List(ctx, t.owner, store.Page{})
		if err != nil || len(list.Conversations) != 1 || list.Conversations[0].ID != t.id || list.Corrupt != 0 {
			return fmt.Errorf("instance %d lists %d conversations, and %d it cannot read: %w", i, len(list.Conversations), list.Corrupt, err)
		}
		if _, err := s.Conversation(ctx, t.owner, uuid.NewString(), store.Range{}); !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("instance %d, asked for what nobody started: %w", i, err)
		}
	}
	return nil
}
