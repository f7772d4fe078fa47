package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"parley/server"
	"parley/store"
)

// breakableStore is a store in memory that fails when somebody at the page wants to see
// what that looks like. There is none where Redis is configured. Nobody is deceived: the
// log and /health say so as long as it fails.
type breakableStore struct {
	next store.Store
	log  *slog.Logger

	mu     sync.Mutex
	broken string
}

var (
	_ server.Breakable = (*breakableStore)(nil)
	_ store.Store      = (*breakableStore)(nil)
)

// breakages are the classes of failure that can be asked for.
var breakages = []struct {
	class  string
	kind   error
	takes  time.Duration // until the failure is known
	writes bool          // it concerns what needs room, and nothing else
}{
	{class: "store_unreachable", kind: store.ErrUnreachable},
	{class: "store_timeout", kind: store.ErrTimeout, takes: 2 * time.Second},
	{class: "store_full", kind: store.ErrFull, writes: true},
}

// Classes implements server.Breakable.
func (b *breakableStore) Classes() []string {
	var all []string
	for _, each := range breakages {
		all = append(all, each.class)
	}
	return all
}

// Broken implements server.Breakable.
func (b *breakableStore) Broken() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.broken
}

// Break implements server.Breakable.
func (b *breakableStore) Break(class string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = class
	b.log.LogAttrs(context.Background(), slog.LevelWarn, "the store was told at /try to fail on purpose, or to work again", slog.String("class", class))
}

// warnings are what /health says.
func (b *breakableStore) warnings() []string {
	if class := b.Broken(); class != "" {
		return []string{"the store fails on purpose with " + class + ", as somebody chose at /try"}
	}
	return nil
}

// fails is the error of a call, nil if the store works.
func (b *breakableStore) fails(ctx context.Context, op string, writes bool) error {
	class := b.Broken()
	for _, each := range breakages {
		if each.class != class || each.writes && !writes {
			continue
		}
		if each.takes > 0 {
			late := time.NewTimer(each.takes)
			defer late.Stop()
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-late.C:
			}
		}
		return &store.Error{Op: op, Kind: each.kind, Reason: "on purpose"}
	}
	return nil
}

// BeginTurn implements store.Store, as all that follow do.
func (b *breakableStore) BeginTurn(ctx context.Context, begin store.Begin) (store.Turn, error) {
	if err := b.fails(ctx, "BeginTurn", true); err != nil {
		return store.Turn{}, err
	}
	return b.next.BeginTurn(ctx, begin)
}

// CompleteTurn implements store.Store.
func (b *breakableStore) CompleteTurn(ctx context.Context, t store.Turn, c store.Completion) error {
	if err := b.fails(ctx, "CompleteTurn", true); err != nil {
		return err
	}
	return b.next.CompleteTurn(ctx, t, c)
}

// FailTurn implements store.Store.
func (b *breakableStore) FailTurn(ctx context.Context, t store.Turn, class string) error {
	if err := b.fails(ctx, "FailTurn", true); err != nil {
		return err
	}
	return b.next.FailTurn(ctx, t, class)
}

// RenewLease implements store.Store.
func (b *breakableStore) RenewLease(ctx context.Context, t store.Turn) (store.Signals, error) {
	if err := b.fails(ctx, "RenewLease", true); err != nil {
		return store.Signals{}, err
	}
	return b.next.RenewLease(ctx, t)
}

// Publish implements store.Store.
func (b *breakableStore) Publish(ctx context.Context, t store.Turn, e store.Entry) (bool, store.Signals, error) {
	if err := b.fails(ctx, "Publish", true); err != nil {
		return false, store.Signals{}, err
	}
	return b.next.Publish(ctx, t, e)
}

// Follow implements store.Store.
func (b *breakableStore) Follow(ctx context.Context, f store.Follow) (store.Relayed, error) {
	if err := b.fails(ctx, "Follow", false); err != nil {
		return store.Relayed{}, err
	}
	return b.next.Follow(ctx, f)
}

// Stop implements store.Store.
func (b *breakableStore) Stop(ctx context.Context, o store.Owner, id string) (int, bool, error) {
	if err := b.fails(ctx, "Stop", true); err != nil {
		return 0, false, err
	}
	return b.next.Stop(ctx, o, id)
}

// Conversation implements store.Store.
func (b *breakableStore) Conversation(ctx context.Context, o store.Owner, id string, r store.Range) (store.Conversation, error) {
	if err := b.fails(ctx, "Conversation", false); err != nil {
		return store.Conversation{}, err
	}
	return b.next.Conversation(ctx, o, id, r)
}

// List implements store.Store.
func (b *breakableStore) List(ctx context.Context, o store.Owner, p store.Page) (store.Listing, error) {
	if err := b.fails(ctx, "List", false); err != nil {
		return store.Listing{}, err
	}
	return b.next.List(ctx, o, p)
}

// SetStatus implements store.Store.
func (b *breakableStore) SetStatus(ctx context.Context, o store.Owner, id string, s store.Status) (store.Conversation, error) {
	if err := b.fails(ctx, "SetStatus", true); err != nil {
		return store.Conversation{}, err
	}
	return b.next.SetStatus(ctx, o, id, s)
}

// Delete implements store.Store.
func (b *breakableStore) Delete(ctx context.Context, o store.Owner, id string) error {
	if err := b.fails(ctx, "Delete", false); err != nil {
		return err
	}
	return b.next.Delete(ctx, o, id)
}

// Ping implements store.Store.
func (b *breakableStore) Ping(ctx context.Context) error {
	if err := b.fails(ctx, "Ping", false); err != nil {
		return err
	}
	return b.next.Ping(ctx)
}

// Close implements store.Store.
func (b *breakableStore) Close() error { return b.next.Close() }
