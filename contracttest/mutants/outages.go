package mutants

import (
	"context"
	"errors"
	"sync/atomic"

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
