package mutants

import (
	"context"
	"errors"
	"sync"

	"parley/store"
)

// broken is a store whose methods can be replaced one by one.
type broken struct {
	store.Store
	begin    func(context.Context, store.Begin) (store.Turn, error)
	complete func(context.Context, store.Turn, store.Completion) error
	fail     func(context.Context, store.Turn, string) error
	renew    func(context.Context, store.Turn) (store.Signals, error)
	publish  func(context.Context, store.Turn, store.Entry) (bool, store.Signals, error)
	follow   func(context.Context, store.Follow) (store.Relayed, error)
	stop     func(context.Context, store.Owner, string) (int, bool, error)
	read     func(context.Context, store.Owner, string, store.Range) (store.Conversation, error)
	list     func(context.Context, store.Owner, store.Page) (store.Listing, error)
	status   func(context.Context, store.Owner, string, store.Status) (store.Conversation, error)
	remove   func(context.Context, store.Owner, string) error
}

// breaking makes a Mutant.Break of a function that replaces methods. The
// function reaches the right methods through m.Store.
func breaking(replace func(m *broken, o Options)) func(store.Store, Options) store.Store {
	return func(s store.Store, o Options) store.Store {
		m := &broken{
			Store: s, begin: s.BeginTurn, complete: s.CompleteTurn, fail: s.FailTurn, renew: s.RenewLease,
			read: s.Conversation, list: s.List, status: s.SetStatus, remove: s.Delete,
			publish: s.Publish, follow: s.Follow, stop: s.Stop,
		}
		replace(m, o)
		return m
	}
}

func (m *broken) BeginTurn(ctx context.Context, b store.Begin) (store.Turn, error) {
	return m.begin(ctx, b)
}

func (m *broken) CompleteTurn(ctx context.Context, t store.Turn, c store.Completion) error {
	return m.complete(ctx, t, c)
}

func (m *broken) FailTurn(ctx context.Context, t store.Turn, class string) error {
	return m.fail(ctx, t, class)
}

func (m *broken) RenewLease(ctx context.Context, t store.Turn) (store.Signals, error) {
	return m.renew(ctx, t)
}

func (m *broken) Publish(ctx context.Context, t store.Turn, e store.Entry) (bool, store.Signals, error) {
	return m.publish(ctx, t, e)
}

func (m *broken) Follow(ctx context.Context, f store.Follow) (store.Relayed, error) {
	return m.follow(ctx, f)
}

func (m *broken) Stop(ctx context.Context, o store.Owner, id string) (int, bool, error) {
	return m.stop(ctx, o, id)
}

func (m *broken) Conversation(ctx context.Context, o store.Owner, id string, r store.Range) (store.Conversation, error) {
	return m.read(ctx, o, id, r)
}

func (m *broken) List(ctx context.Context, o store.Owner, p store.Page) (store.Listing, error) {
	return m.list(ctx, o, p)
}

func (m *broken) SetStatus(ctx context.Context, o store.Owner, id string, s store.Status) (store.Conversation, error) {
	return m.status(ctx, o, id, s)
}

func (m *broken) Delete(ctx context.Context, o store.Owner, id string) error {
	return m.remove(ctx, o, id)
}

// changingBegin breaks a store by changing what it is asked to begin.
func changingBegin(change func(*store.Begin)) func(store.Store, Options) store.Store {
	return breaking(func(m *broken, _ Options) {
		m.begin = func(ctx context.Context, b store.Begin) (store.Turn, error) {
			change(&b)
			return m.Store.BeginTurn(ctx, b)
		}
	})
}

// changingCompletion breaks a store by changing what it is asked to store.
func changingCompletion(change func(*store.Completion)) func(store.Store, Options) store.Store {
	return breaking(func(m *broken, _ Options) {
		m.complete = func(ctx context.Context, t store.Turn, c store.Completion) error {
			change(&c)
			return m.Store.CompleteTurn(ctx, t, c)
		}
	})
}

// changingErrors breaks a store by changing the errors of begins, completions,
// failures, reads and lists.
func changingErrors(change func(error, Options) error) func(store.Store, Options) store.Store {
	return breaking(func(m *broken, o Options) {
		m.begin = func(ctx context.Context, b store.Begin) (store.Turn, error) {
			t, err := m.Store.BeginTurn(ctx, b)
			return t, change(err, o)
		}
		m.complete = func(ctx context.Context, t store.Turn, c store.Completion) error {
			return change(m.Store.CompleteTurn(ctx, t, c), o)
		}
		m.fail = func(ctx context.Context, t store.Turn, class string) error {
			return change(m.Store.FailTurn(ctx, t, class), o)
		}
		m.read = func(ctx context.Context, owner store.Owner, id string, r store.Range) (store.Conversation, error) {
			c, err := m.Store.Conversation(ctx, owner, id, r)
			return c, change(err, o)
		}
		m.list = func(ctx context.Context, owner store.Owner, p store.Page) (store.Listing, error) {
			l, err := m.Store.List(ctx, owner, p)
			return l, change(err, o)
		}
	})
}

// hiding breaks a store by turning an error into success.
func hiding(hidden error) func(store.Store, Options) store.Store {
	return changingErrors(func(err error, _ Options) error {
		if errors.Is(err, hidden) {
			return nil
		}
		return err
	})
}

// isOutage reports whether the store, and not its caller, is at fault.
func isOutage(err error) bool {
	_, ok := errors.AsType[*store.Error](err)
	return ok
}

// table is what a mutant remembers. It may be used from many goroutines, because
// a mutant must be wrong in its one way only.
type table[V any] struct {
	mu     sync.Mutex
	values map[string]V
}

func (t *table[V]) get(key string) (V, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, ok := t.values[key]
	return v, ok
}

func (t *table[V]) set(key string, v V) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.values == nil {
		t.values = map[string]V{}
	}
	t.values[key] = v
}
