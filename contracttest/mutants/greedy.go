package mutants

import (
	"context"
	"slices"
	"sync"
	"time"

	"parley/store"
)

// greedy let one caller take what others need.
func greedy() []Mutant {
	return []Mutant{
		{
			Name: "copies-data-for-keys", Wrong: "It keeps a copy of the step data with every answer.",
			Attacks: []string{"keys"},
			Break: breaking(func(m *broken, _ Options) {
				m.complete = func(ctx context.Context, t store.Turn, c store.Completion) error {
					if data := t.Workflow.StepData; len(data) > 0 && len(c.Extra) > 2 {
						c.Extra = slices.Concat([]byte(`{"copy":`), data, []byte(","), c.Extra[1:])
					}
					return m.Store.CompleteTurn(ctx, t, c)
				}
			}),
		},
		{
			Name: "reads-all-to-say-nothing", Wrong: "It reads messages to find out that nothing is new.",
			Attacks: []string{"nothing-new"},
			Break: breaking(func(m *broken, _ Options) {
				m.read = func(ctx context.Context, o store.Owner, id string, r store.Range) (store.Conversation, error) {
					if r.From > 0 {
						if c, err := m.Store.Conversation(ctx, o, id, store.Range{}); err != nil {
							return c, err
						}
					}
					return m.Store.Conversation(ctx, o, id, r)
				}
			}),
		},
		{
			Name: "evicts-anybody", Wrong: "It makes room for one owner by what was started first, whoever's that is.",
			Attacks: []string{"room"},
			Break:   breaking(evictsAnybody),
		},
		{
			Name: "opens-by-slow-calls", Wrong: "It fails all calls for a while after some that took long.",
			Attacks: []string{"slow-line"},
			Break:   breaking(opensBySlowCalls),
		},
	}
}

func evictsAnybody(m *broken, _ Options) {
	const room = 50
	var mu sync.Mutex
	var started []store.Turn
	m.begin = func(ctx context.Context, b store.Begin) (store.Turn, error) {
		t, err := m.Store.BeginTurn(ctx, b)
		if err != nil || !b.New {
			return t, err
		}
		mu.Lock()
		defer mu.Unlock()
		if started = append(started, t); len(started) > room {
			err = m.Store.Delete(ctx, started[0].Owner, started[0].Conversation)
			started = started[1:]
		}
		return t, err
	}
}

func opensBySlowCalls(m *broken, o Options) {
	const enough, long, pause = 5, 500 * time.Millisecond, 5 * time.Second
	var mu sync.Mutex
	var slow int
	var until time.Time
	opened := func() error {
		mu.Lock()
		defer mu.Unlock()
		if o.now().Before(until) {
			return &store.Error{Kind: store.ErrTimeout, Reason: "circuit breaker is open"}
		}
		return nil
	}
	m.begin = func(ctx context.Context, b store.Begin) (store.Turn, error) {
		if err := opened(); err != nil {
			return store.Turn{}, err
		}
		return m.Store.BeginTurn(ctx, b)
	}
	m.read = func(ctx context.Context, owner store.Owner, id string, r store.Range) (store.Conversation, error) {
		if err := opened(); err != nil {
			return store.Conversation{}, err
		}
		began := o.now()
		c, err := m.Store.Conversation(ctx, owner, id, r)
		mu.Lock()
		defer mu.Unlock()
		if o.now().Sub(began) >= long {
			slow++
		}
		if slow >= enough {
			slow, until = 0, o.now().Add(pause)
		}
		return c, err
	}
}
