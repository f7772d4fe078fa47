package mutants

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"parley/store"
)

// outages are wrong about a place that fails (S21).
func outages() []Mutant {
	return []Mutant{
		{
			Name: "falls-back-to-memory", Wrong: "It keeps conversations in memory while its place is down.",
			Cells: []Cell{{"refused", start}},
			Break: breaking(fallsBack),
		},
		{
			Name: "blames-the-agent", Wrong: "It reports a network error of its own as one of the agent's.",
			Cells: []Cell{{"refused", send}},
			Break: changingErrors(func(err error, o Options) error {
				if isOutage(err) && o.AgentError != nil {
					return o.AgentError(err)
				}
				return err
			}),
		},
		{
			Name: "hides-an-outage", Wrong: "It reports an outage as a conversation that does not exist.",
			Cells: []Cell{{"lost-request", reread}},
			Break: changingErrors(func(err error, _ Options) error {
				if isOutage(err) {
					return store.ErrNotFound
				}
				return err
			}),
		},
		{
			Name: "sends-again", Wrong: "It sends a begin again that may have run.",
			Cells: []Cell{{"closed-after", send}},
			Break: breaking(func(m *broken, _ Options) {
				m.begin = func(ctx context.Context, b store.Begin) (t store.Turn, err error) {
					for range 3 {
						if t, err = m.Store.BeginTurn(ctx, b); !isOutage(err) {
							break
						}
					}
					return t, err
				}
			}),
		},
		{
			Name: "believes-any-reply", Wrong: "It takes a reply of the wrong shape for a turn.",
			Cells: []Cell{{"wrong-shape-empty", send}},
			Break: breaking(func(m *broken, _ Options) {
				m.begin = func(ctx context.Context, b store.Begin) (store.Turn, error) {
					t, err := m.Store.BeginTurn(ctx, b)
					if errors.Is(err, store.ErrProtocol) {
						return store.Turn{Owner: b.Owner, Conversation: b.Conversation, Number: 1, UpstreamID: "u"}, nil
					}
					return t, err
				}
			}),
		},
		{
			Name: "never-closes-its-breaker", Wrong: "It fails every begin after the first outage.",
			Cells: []Cell{{"refused", send}},
			Break: breaking(neverCloses),
		},
		{
			Name: "opens-by-calls-alone", Wrong: "It fails all calls for a while after five outages in a row, without asking whether its place answers.",
			Cells: []Cell{{"silent-reads", "GET /api/chat/conversations"}},
			Break: breaking(opensByCalls),
		},
	}
}

func opensByCalls(m *broken, o Options) {
	const enough, pause = 5, 5 * time.Second
	var mu sync.Mutex
	var failed int
	var until time.Time
	try := func(op string, call func() error) error {
		mu.Lock()
		open := o.now().Before(until)
		mu.Unlock()
		if open {
			return &store.Error{Op: op, Kind: store.ErrTimeout, Reason: "circuit breaker is open"}
		}
		err := call()
		mu.Lock()
		defer mu.Unlock()
		if failed++; !isOutage(err) {
			failed = 0
		}
		if failed >= enough {
			failed, until = 0, o.now().Add(pause)
		}
		return err
	}
	m.begin = func(ctx context.Context, b store.Begin) (t store.Turn, err error) {
		err = try("BeginTurn", func() error { t, err = m.Store.BeginTurn(ctx, b); return err })
		return t, err
	}
	m.read = func(ctx context.Context, owner store.Owner, id string, r store.Range) (c store.Conversation, err error) {
		err = try("Conversation", func() error { c, err = m.Store.Conversation(ctx, owner, id, r); return err })
		return c, err
	}
	m.list = func(ctx context.Context, owner store.Owner, p store.Page) (l store.Listing, err error) {
		err = try("List", func() error { l, err = m.Store.List(ctx, owner, p); return err })
		return l, err
	}
}

func fallsBack(m *broken, o Options) {
	if o.Memory == nil {
		return
	}
	memory := o.Memory()
	m.begin = func(ctx context.Context, b store.Begin) (store.Turn, error) {
		t, err := m.Store.BeginTurn(ctx, b)
		if isOutage(err) {
			return memory.BeginTurn(ctx, b)
		}
		return t, err
	}
	m.complete = func(ctx context.Context, t store.Turn, c store.Completion) error {
		err := m.Store.CompleteTurn(ctx, t, c)
		if isOutage(err) {
			return memory.CompleteTurn(ctx, t, c)
		}
		return err
	}
}

func neverCloses(m *broken, _ Options) {
	var open atomic.Bool
	m.begin = func(ctx context.Context, b store.Begin) (store.Turn, error) {
		if open.Load() {
			return store.Turn{}, &store.Error{Op: "BeginTurn", Kind: store.ErrUnreachable, Reason: "circuit breaker is open"}
		}
		t, err := m.Store.BeginTurn(ctx, b)
		if isOutage(err) {
			open.Store(true)
		}
		return t, err
	}
}
