package contracttest_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"parley/contracttest"
	"parley/store"
	"parley/store/memory"
)

// mutant is a store that is right but for what its functions change.
type mutant struct {
	store.Store
	clock *contracttest.Clock

	begin    func(store.Store, context.Context, store.Begin) (store.Turn, error)
	complete func(store.Store, context.Context, store.Turn, store.Completion) error
	fail     func(store.Store, context.Context, store.Turn, string) error
	renew    func(store.Store, context.Context, store.Turn) error
	get      func(store.Store, context.Context, store.Owner, string, int) (store.Conversation, error)
	list     func(store.Store, context.Context, store.Owner, store.Page) (store.Listing, error)
	status   func(store.Store, context.Context, store.Owner, string, store.Status) (store.Conversation, error)
	remove   func(store.Store, context.Context, store.Owner, string) error
}

func (m *mutant) BeginTurn(ctx context.Context, b store.Begin) (store.Turn, error) {
	if m.begin != nil {
		return m.begin(m.Store, ctx, b)
	}
	return m.Store.BeginTurn(ctx, b)
}

func (m *mutant) CompleteTurn(ctx context.Context, t store.Turn, c store.Completion) error {
	if m.complete != nil {
		return m.complete(m.Store, ctx, t, c)
	}
	return m.Store.CompleteTurn(ctx, t, c)
}

func (m *mutant) FailTurn(ctx context.Context, t store.Turn, class string) error {
	if m.fail != nil {
		return m.fail(m.Store, ctx, t, class)
	}
	return m.Store.FailTurn(ctx, t, class)
}

func (m *mutant) RenewLease(ctx context.Context, t store.Turn) error {
	if m.renew != nil {
		return m.renew(m.Store, ctx, t)
	}
	return m.Store.RenewLease(ctx, t)
}

func (m *mutant) Conversation(ctx context.Context, o store.Owner, id string, after int) (store.Conversation, error) {
	if m.get != nil {
		return m.get(m.Store, ctx, o, id, after)
	}
	return m.Store.Conversation(ctx, o, id, after)
}

func (m *mutant) List(ctx context.Context, o store.Owner, p store.Page) (store.Listing, error) {
	if m.list != nil {
		return m.list(m.Store, ctx, o, p)
	}
	return m.Store.List(ctx, o, p)
}

func (m *mutant) SetStatus(ctx context.Context, o store.Owner, id string, s store.Status) (store.Conversation, error) {
	if m.status != nil {
		return m.status(m.Store, ctx, o, id, s)
	}
	return m.Store.SetStatus(ctx, o, id, s)
}

func (m *mutant) Delete(ctx context.Context, o store.Owner, id string) error {
	if m.remove != nil {
		return m.remove(m.Store, ctx, o, id)
	}
	return m.Store.Delete(ctx, o, id)
}

// place opens a memory store that mutate breaks.
func place(mutate func(*mutant)) contracttest.Backend {
	return contracttest.Backend{Lacks: lacking, Open: func(testing.TB) *contracttest.Place {
		clock := contracttest.NewClock()
		m := &mutant{Store: memory.New(memory.Options{TTL: time.Hour, Now: clock.Now}), clock: clock}
		mutate(m)
		return &contracttest.Place{
			Store: m, TTL: time.Hour,
			Reopen:  func(testing.TB) store.Store { return m },
			Advance: func(_ testing.TB, d time.Duration) { clock.Advance(d) },
		}
	}}
}

// lacking is what only a real place has. The mutants for rules that need it
// stand beside the Redis store.
var lacking = []contracttest.Ability{contracttest.Keys, contracttest.Scripts, contracttest.OwnClock, contracttest.Legacy}

// changing makes a begin that works on a changed request.
func changing(change func(*store.Begin)) func(*mutant) {
	return func(m *mutant) {
		m.begin = func(s store.Store, ctx context.Context, b store.Begin) (store.Turn, error) {
			change(&b)
			return s.BeginTurn(ctx, b)
		}
	}
}

// completing makes a complete that works on a changed completion.
func completing(change func(*store.Completion)) func(*mutant) {
	return func(m *mutant) {
		m.complete = func(s store.Store, ctx context.Context, t store.Turn, c store.Completion) error {
			change(&c)
			return s.CompleteTurn(ctx, t, c)
		}
	}
}

// hiding makes every write swallow an error.
func hiding(hidden error) func(*mutant) {
	return func(m *mutant) {
		hide := func(err error) error {
			if errors.Is(err, hidden) {
				return nil
			}
			return err
		}
		m.begin = func(s store.Store, ctx context.Context, b store.Begin) (store.Turn, error) {
			t, err := s.BeginTurn(ctx, b)
			return t, hide(err)
		}
		m.complete = func(s store.Store, ctx context.Context, t store.Turn, c store.Completion) error {
			return hide(s.CompleteTurn(ctx, t, c))
		}
		m.fail = func(s store.Store, ctx context.Context, t store.Turn, class string) error {
			return hide(s.FailTurn(ctx, t, class))
		}
		m.get = func(s store.Store, ctx context.Context, o store.Owner, id string, after int) (store.Conversation, error) {
			c, err := s.Conversation(ctx, o, id, after)
			return c, hide(err)
		}
		m.list = func(s store.Store, ctx context.Context, o store.Owner, p store.Page) (store.Listing, error) {
			l, err := s.List(ctx, o, p)
			return l, hide(err)
		}
	}
}

// strict makes the turns of a store end with their lease.
func strict(m *mutant) {
	until := map[string]time.Time{}
	m.begin = func(s store.Store, ctx context.Context, b store.Begin) (store.Turn, error) {
		t, err := s.BeginTurn(ctx, b)
		until[t.Token] = m.clock.Now().Add(store.LeaseTime)
		return t, err
	}
	m.complete = func(s store.Store, ctx context.Context, t store.Turn, c store.Completion) error {
		if m.clock.Now().After(until[t.Token]) {
			return store.ErrStale
		}
		return s.CompleteTurn(ctx, t, c)
	}
	m.renew = func(s store.Store, ctx context.Context, t store.Turn) error {
		if m.clock.Now().After(until[t.Token]) {
			return store.ErrStale
		}
		until[t.Token] = m.clock.Now().Add(store.LeaseTime)
		return s.RenewLease(ctx, t)
	}
}

// mortal makes a conversation end a TTL after its start, whatever happens to it.
func mortal(m *mutant) {
	born := map[string]time.Time{}
	m.begin = func(s store.Store, ctx context.Context, b store.Begin) (store.Turn, error) {
		if b.New {
			born[b.Conversation] = m.clock.Now()
		} else if m.clock.Now().Sub(born[b.Conversation]) > time.Hour {
			return store.Turn{}, store.ErrNotFound
		}
		return s.BeginTurn(ctx, b)
	}
}

// immortal keeps what it was asked for once.
func immortal(m *mutant) {
	known := map[string]store.Conversation{}
	m.get = func(s store.Store, ctx context.Context, o store.Owner, id string, after int) (store.Conversation, error) {
		c, err := s.Conversation(ctx, o, id, after)
		if old, ok := known[id]; ok && errors.Is(err, store.ErrNotFound) {
			return old, nil
		}
		known[id] = c
		return c, err
	}
}

// aliasing hands out the same value again and again.
func aliasing(m *mutant) {
	handed := map[string]store.Conversation{}
	m.get = func(s store.Store, ctx context.Context, o store.Owner, id string, after int) (store.Conversation, error) {
		if c, ok := handed[id]; ok {
			return c, nil
		}
		c, err := s.Conversation(ctx, o, id, after)
		handed[id] = c
		return c, err
	}
}

// onlyOnce refuses the repetition of a call.
func onlyOnce(m *mutant) {
	ended := map[string]bool{}
	once := func(t store.Turn) error {
		if ended[t.Token] {
			return store.ErrStale
		}
		ended[t.Token] = true
		return nil
	}
	m.complete = func(s store.Store, ctx context.Context, t store.Turn, c store.Completion) error {
		if err := once(t); err != nil {
			return err
		}
		return s.CompleteTurn(ctx, t, c)
	}
	m.fail = func(s store.Store, ctx context.Context, t store.Turn, class string) error {
		if err := once(t); err != nil {
			return err
		}
		return s.FailTurn(ctx, t, class)
	}
}

// askingFirst looks at the status before anything else.
func askingFirst(m *mutant) {
	open := func(s store.Store, ctx context.Context, o store.Owner, id string) error {
		if c, err := s.Conversation(ctx, o, id, -1); err == nil && c.Status != store.StatusActive {
			return store.ErrClosed
		}
		return nil
	}
	m.begin = func(s store.Store, ctx context.Context, b store.Begin) (store.Turn, error) {
		if err := open(s, ctx, b.Owner, b.Conversation); err != nil {
			return store.Turn{}, err
		}
		return s.BeginTurn(ctx, b)
	}
	m.complete = func(s store.Store, ctx context.Context, t store.Turn, c store.Completion) error {
		if err := open(s, ctx, t.Owner, t.Conversation); err != nil {
			return err
		}
		return s.CompleteTurn(ctx, t, c)
	}
}

// replayingLast gives every key the answer that was stored last.
func replayingLast(m *mutant) {
	var last []store.Message
	m.complete = func(s store.Store, ctx context.Context, t store.Turn, c store.Completion) error {
		last = c.Messages
		return s.CompleteTurn(ctx, t, c)
	}
	m.begin = func(s store.Store, ctx context.Context, b store.Begin) (store.Turn, error) {
		t, err := s.BeginTurn(ctx, b)
		if t.Replay != nil {
			t.Replay.Messages = last
		}
		return t, err
	}
}

// eager makes a repeat of any input the turn it was before.
func eager(m *mutant) {
	turns := map[string]store.Turn{}
	m.begin = func(s store.Store, ctx context.Context, b store.Begin) (store.Turn, error) {
		if t, ok := turns[b.Conversation+b.Fingerprint]; ok && b.Key == "" {
			t.Adopted = true
			return t, nil
		}
		t, err := s.BeginTurn(ctx, b)
		turns[b.Conversation+b.Fingerprint] = t
		return t, err
	}
}

// counting pages by number instead of by place.
func counting(m *mutant) {
	m.list = func(s store.Store, ctx context.Context, o store.Owner, p store.Page) (store.Listing, error) {
		all, err := s.List(ctx, o, store.Page{})
		from, _ := strconv.Atoi(p.Cursor)
		to := min(len(all.Conversations), from+max(p.Limit, 1))
		return store.Listing{Conversations: all.Conversations[min(from, to):to], NextCursor: strconv.Itoa(to)}, err
	}
}

// remembering lists everything it ever listed or started.
func remembering(m *mutant) {
	var all []store.Conversation
	m.begin = func(s store.Store, ctx context.Context, b store.Begin) (store.Turn, error) {
		if b.New {
			all = append(all, store.Conversation{ID: b.Conversation})
		}
		return s.BeginTurn(ctx, b)
	}
	m.list = func(_ store.Store, _ context.Context, _ store.Owner, p store.Page) (store.Listing, error) {
		return store.Listing{Conversations: all[:min(len(all), p.Limit)]}, nil
	}
}
