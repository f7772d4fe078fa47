package mutants

import (
	"context"
	"errors"
	"sync"

	"parley/store"
)

const (
	send   = "POST /api/chat/send"
	start  = "POST /api/chat/start"
	reread = "GET /api/chat/conversations/{id}"
)

// turns are wrong about one turn at a time.
func turns() []Mutant {
	return []Mutant{
		{
			Name: "one-fence", Wrong: "It gives every turn the same fence.",
			Rules: []string{"S3.begin", "S7.stale", "S9.failed", "S11.repeat", "S28.outcome"},
			Break: breaking(func(m *broken, _ Options) {
				m.begin = func(ctx context.Context, b store.Begin) (store.Turn, error) {
					t, err := m.Store.BeginTurn(ctx, b)
					t.Fence = 1
					return t, err
				}
			}),
		},
		{
			Name: "drops-the-fence", Wrong: "It stores the answer of a turn that another has replaced, as a turn of its own.",
			Rules: []string{"S7.stale", "S7.ended"}, Cells: []Cell{{"runner-paused", send}}, History: true, Chaos: true,
			Break: breaking(dropsFence),
		},
		{
			Name: "forgets-first-turn", Wrong: "It does not count the turn that a conversation was started with.",
			Rules: []string{"S3.first-turn"},
			Break: changingCompletion(func(c *store.Completion) { c.Turns = 0 }),
		},
		{
			Name: "hides-that-it-is-busy", Wrong: "It lets a second turn run beside one that is held.",
			Rules: []string{"S4.conflict", "S4.replicas", "S4.race", "S19.renew", "S19.revive", "S9.busy", "S9.start", "S9.busy-closed", "S30.same", "S31.turns"}, History: true,
			Break: breaking(hidesBusy),
		},
		{
			Name: "acknowledges-and-forgets", Wrong: "It acknowledges the answer to a turn and stores none of its messages.",
			Rules: []string{
				"S1.round-trip", "S1.no-alias", "S3.begin", "S5.complete", "S8.fail", "S6.complete-twice", "S7.stale",
				"S7.lapsed", "S7.ended", "S11.repeat", "S11.repeat-lapsed", "S11.other", "S11.unheard", "S11.answered",
				"S9.replay", "S9.replay-later", "S9.replay-closed", "S9.failed", "S9.lapsed", "S9.handed-on", "S10.mismatch",
				"S15.renewed", "S16.held", "S10.start", "S13.pages", "S13.bytes", "S13.from", "S13.failures", "S9.kept", "S11.late", "S15.nine-tenths",
			}, Cells: []Cell{{"slow", send}},
			Break: breaking(func(m *broken, _ Options) {
				m.complete = func(ctx context.Context, t store.Turn, c store.Completion) error {
					if !t.New {
						c.Messages = nil
					}
					return m.Store.CompleteTurn(ctx, t, c)
				}
			}),
		},
		{
			Name: "acknowledges-before-storing", Wrong: "It acknowledges an answer first and stores it afterwards, if it can.",
			History: true, Chaos: true,
			Break: func(s store.Store, _ Options) store.Store { return &early{Store: s} },
		},
		{
			Name: "ignores-the-end", Wrong: "It leaves a conversation open that the agent has ended.",
			Rules: []string{"S1.round-trip", "S5.ended", "S12.goes-on", "S12.failed"},
			Break: changingCompletion(func(c *store.Completion) { c.Ended = false }),
		},
		{
			Name: "forgets-the-class", Wrong: "It stores every failed turn with the class internal.",
			Rules: []string{"S8.fail", "S28.outcome", "S13.failures"},
			Break: breaking(func(m *broken, _ Options) {
				m.fail = func(ctx context.Context, t store.Turn, _ string) error {
					return m.Store.FailTurn(ctx, t, "internal")
				}
			}),
		},
		{
			Name: "completes-what-failed", Wrong: "It keeps a conversation whose start failed.",
			Rules: []string{
				"S8.fail", "S8.failed-start", "S7.ended", "S11.repeat", "S9.failed", "S9.handed-on", "S15.renewed",
				"S25.lost", "S28.outcome", "S13.failures", "S31.repeats", "S32.starting",
			},
			Break: breaking(func(m *broken, _ Options) {
				m.fail = func(ctx context.Context, t store.Turn, _ string) error {
					return m.Store.CompleteTurn(ctx, t, store.Completion{})
				}
			}),
		},
		{
			Name: "hides-that-it-is-closed", Wrong: "It reports success for a turn in a conversation that is closed.",
			Rules: []string{"S12.closed", "S12.owner", "S9.busy-closed"},
			Break: hiding(store.ErrClosed),
		},
	}
}

func dropsFence(m *broken, _ Options) {
	m.complete = func(ctx context.Context, t store.Turn, c store.Completion) error {
		err := m.Store.CompleteTurn(ctx, t, c)
		if !errors.Is(err, store.ErrStale) {
			return err
		}
		own, err := m.Store.BeginTurn(ctx, store.Begin{Owner: t.Owner, Conversation: t.Conversation, Fingerprint: t.Token})
		if err != nil {
			return err
		}
		return m.Store.CompleteTurn(ctx, own, c)
	}
}

func hidesBusy(m *broken, _ Options) {
	m.begin = func(ctx context.Context, b store.Begin) (store.Turn, error) {
		t, err := m.Store.BeginTurn(ctx, b)
		if busy, ok := errors.AsType[*store.BusyError](err); ok {
			return store.Turn{Owner: b.Owner, Conversation: b.Conversation, Number: busy.Turn}, nil
		}
		return t, err
	}
}

// early stores answers in the background. Close waits for those that are under way.
type early struct {
	store.Store
	storing sync.WaitGroup
}

// CompleteTurn implements store.Store.
func (e *early) CompleteTurn(ctx context.Context, t store.Turn, c store.Completion) error {
	ctx = context.WithoutCancel(ctx)
	e.storing.Go(func() { _ = e.Store.CompleteTurn(ctx, t, c) })
	return nil
}

// Close implements store.Store.
func (e *early) Close() error {
	e.storing.Wait()
	return e.Store.Close()
}
