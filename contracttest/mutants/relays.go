package mutants

import (
	"context"

	"parley/store"
)

// relays are wrong about turns that are followed, joined and stopped from another
// instance.
func relays() []Mutant {
	changingFollowed := func(change func(*store.Relayed)) func(store.Store, Options) store.Store {
		return breaking(func(m *broken, _ Options) {
			m.follow = func(ctx context.Context, f store.Follow) (store.Relayed, error) {
				r, err := m.Store.Follow(ctx, f)
				change(&r)
				return r, err
			}
		})
	}
	changingSignals := func(change func(*store.Signals)) func(store.Store, Options) store.Store {
		return breaking(func(m *broken, _ Options) {
			m.renew = func(ctx context.Context, t store.Turn) (store.Signals, error) {
				s, err := m.Store.RenewLease(ctx, t)
				change(&s)
				return s, err
			}
		})
	}
	return []Mutant{
		{
			Name: "relays-from-the-start", Wrong: "It gives all entries to whoever has seen some.",
			Rules: []string{"S26.entries", "S26.snapshot"},
			Break: breaking(func(m *broken, _ Options) {
				m.follow = func(ctx context.Context, f store.Follow) (store.Relayed, error) {
					f.From = 0
					return m.Store.Follow(ctx, f)
				}
			}),
		},
		{
			Name: "takes-all-for-snapshots", Wrong: "It drops what came before an increment.",
			Rules: []string{"S26.entries", "S26.snapshot", "S26.stale", "S26.ends"}, History: true,
			Break: breaking(func(m *broken, _ Options) {
				m.publish = func(ctx context.Context, t store.Turn, e store.Entry) (bool, store.Signals, error) {
					e.Snapshot = true
					return m.Store.Publish(ctx, t, e)
				}
			}),
		},
		{
			Name: "listened-to-for-ever", Wrong: "It tells every turn that somebody follows it.",
			Rules: []string{"S27.listened", "S29.stop"},
			Break: changingSignals(func(s *store.Signals) { s.Listened = true }),
		},
		{
			Name: "stops-nothing", Wrong: "It keeps to itself that a turn shall stop.",
			Rules: []string{"S29.stop"}, History: true,
			Break: changingSignals(func(s *store.Signals) { s.Stop = false }),
		},
		{
			Name: "hides-how-turns-end", Wrong: "It says of every turn that it runs.",
			Rules: []string{"S28.outcome"},
			Break: changingFollowed(func(r *store.Relayed) { r.State = store.TurnRunning }),
		},
		{
			Name: "joins-nobody", Wrong: "It never recognises a request whose turn runs.",
			Rules: []string{"S30.same"}, History: true,
			Break: changingErrors(func(err error, _ Options) error {
				if b, ok := err.(*store.BusyError); ok { //nolint:errorlint // the store's own
					return &store.BusyError{Turn: b.Turn, RetryAfter: b.RetryAfter}
				}
				return err
			}),
		},
	}
}
