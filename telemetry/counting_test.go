package telemetry_test

import (
	"context"
	"sync/atomic"

	"parley/store"
)

// countingStore counts the calls that the decorator in front of it must record.
type countingStore struct {
	store.Store
	calls, pings, failures atomic.Int64
}

func (c *countingStore) count(err error) {
	c.calls.Add(1)
	if err != nil {
		c.failures.Add(1)
	}
}

func (c *countingStore) BeginTurn(ctx context.Context, b store.Begin) (store.Turn, error) {
	t, err := c.Store.BeginTurn(ctx, b)
	c.count(err)
	return t, err
}

func (c *countingStore) CompleteTurn(ctx context.Context, t store.Turn, done store.Completion) error {
	err := c.Store.CompleteTurn(ctx, t, done)
	c.count(err)
	return err
}

func (c *countingStore) FailTurn(ctx context.Context, t store.Turn, class string) error {
	err := c.Store.FailTurn(ctx, t, class)
	c.count(err)
	return err
}

func (c *countingStore) RenewLease(ctx context.Context, t store.Turn) (store.Signals, error) {
	s, err := c.Store.RenewLease(ctx, t)
	c.count(err)
	return s, err
}

func (c *countingStore) Publish(ctx context.Context, t store.Turn, e store.Entry) (bool, store.Signals, error) {
	kept, s, err := c.Store.Publish(ctx, t, e)
	c.count(nil) // as of Ping
	c.pings.Add(1)
	return kept, s, err
}

func (c *countingStore) Follow(ctx context.Context, f store.Follow) (store.Relayed, error) {
	r, err := c.Store.Follow(ctx, f)
	c.count(nil) // as of Ping
	c.pings.Add(1)
	return r, err
}

func (c *countingStore) Stop(ctx context.Context, o store.Owner, id string) (int, bool, error) {
	turn, running, err := c.Store.Stop(ctx, o, id)
	c.count(err)
	return turn, running, err
}

func (c *countingStore) Conversation(ctx context.Context, o store.Owner, id string, r store.Range) (store.Conversation, error) {
	conv, err := c.Store.Conversation(ctx, o, id, r)
	c.count(err)
	return conv, err
}

func (c *countingStore) List(ctx context.Context, o store.Owner, p store.Page) (store.Listing, error) {
	l, err := c.Store.List(ctx, o, p)
	c.count(err)
	return l, err
}

func (c *countingStore) SetStatus(ctx context.Context, o store.Owner, id string, s store.Status) (store.Conversation, error) {
	conv, err := c.Store.SetStatus(ctx, o, id, s)
	c.count(err)
	return conv, err
}

func (c *countingStore) Delete(ctx context.Context, o store.Owner, id string) error {
	err := c.Store.Delete(ctx, o, id)
	c.count(err)
	return err
}

func (c *countingStore) Ping(ctx context.Context) error {
	err := c.Store.Ping(ctx)
	c.count(nil) // has no span to say that it failed
	c.pings.Add(1)
	return err
}
