package mutants

import (
	"context"
	"errors"
	"time"

	"parley/store"
)

// life are wrong about how long things last and who else sees them.
func life() []Mutant {
	return []Mutant{
		{
			Name: "never-forgets", Wrong: "It returns a conversation that it has read before, although it has expired.",
			Rules: []string{"S15.expires", "S15.by-itself", "S20.legacy", "S20.legacy-case", "S22.instances"},
			Break: breaking(neverForgets),
		},
		{
			Name: "does-not-renew-the-ttl", Wrong: "It ends a conversation one time to live after its start, whatever was written since.",
			Rules: []string{"S15.renewed", "S15.nine-tenths"},
			Break: breaking(lastsOneTTL),
		},
		{
			Name: "renews-the-ttl-at-half", Wrong: "It renews the time to live of a conversation once half of it is gone.",
			Rules: []string{"S15.nine-tenths", "S25.lost"},
			Break: breaking(renewsAtHalf),
		},
		{
			Name: "keeps-keys-forever", Wrong: "It takes the time to live from the keys of a conversation when a turn begins.",
			Rules: []string{"S15.every-key", "S26.no-trace"},
			Break: breaking(keepsForever),
		},
		{
			Name: "does-not-store-the-status", Wrong: "It reports the new status and does not store it.",
			Rules: []string{"S12.closed", "S12.owner", "S14.order", "S15.renewed", "S16.status", "S16.held", "S9.busy-closed", "S15.nine-tenths"},
			Break: breaking(func(m *broken, _ Options) {
				m.status = func(ctx context.Context, o store.Owner, id string, s store.Status) (store.Conversation, error) {
					c, err := m.Store.Conversation(ctx, o, id, store.Range{})
					c.Status, c.Messages = s, nil
					return c, err
				}
			}),
		},
		{
			Name: "closes-instead-of-deleting", Wrong: "It closes a conversation that it was asked to delete.",
			Rules: []string{"S17.delete", "S17.no-trace", "S20.legacy", "S20.legacy-case", "S20.legacy-unreadable", "S2.legacy-owner", "S24.delete", "S26.no-trace", "S32.quota"},
			Break: breaking(func(m *broken, _ Options) {
				m.remove = func(ctx context.Context, o store.Owner, id string) error {
					_, err := m.Store.SetStatus(ctx, o, id, store.StatusAbandoned)
					return err
				}
			}),
		},
		{
			Name: "goes-by-its-own-clock", Wrong: "It says when a conversation was written to by the clock of its instance.",
			Rules: []string{"S22.instances"},
			Break: breaking(func(m *broken, o Options) {
				m.status = func(ctx context.Context, owner store.Owner, id string, s store.Status) (store.Conversation, error) {
					c, err := m.Store.SetStatus(ctx, owner, id, s)
					c.UpdatedAt = c.UpdatedAt.Add(o.Ahead)
					return c, err
				}
			}),
		},
		{
			Name: "leaves-a-key", Wrong: "It deletes a conversation and starts to create it anew, which leaves a key that nobody sees.",
			Rules: []string{"S17.delete", "S17.no-trace", "S24.delete", "S26.no-trace", "S32.quota"},
			Break: breaking(leavesKey),
		},
		{
			Name: "takes-a-lost-start-for-none", Wrong: "It reports a start that the place has lost as a conversation that never was.",
			Rules: []string{"S25.lost"},
			Break: changingErrors(func(err error, _ Options) error {
				if errors.Is(err, store.ErrLost) {
					return store.ErrNotFound
				}
				return err
			}),
		},
		{
			Name: "takes-damage-for-the-end", Wrong: "It reports a record that is damaged as a conversation that is closed.",
			Rules: []string{"S2.legacy-owner", "S23.damaged", "S20.legacy-unreadable"},
			Break: changingErrors(func(err error, _ Options) error {
				if errors.Is(err, store.ErrCorrupt) {
					return store.ErrClosed
				}
				return err
			}),
		},
		{
			Name: "completes-what-is-gone", Wrong: "It acknowledges the completion of a turn whose conversation the place has lost.",
			Rules: []string{"S24.gone"},
			Break: breaking(completesGone),
		},
		{
			Name: "ignores-its-context", Wrong: "It reads although its context is done.",
			Rules: []string{"S18.canceled"},
			Break: breaking(func(m *broken, _ Options) {
				m.read = func(ctx context.Context, o store.Owner, id string, r store.Range) (store.Conversation, error) {
					return m.Store.Conversation(context.WithoutCancel(ctx), o, id, r)
				}
			}),
		},
		{
			Name: "has-a-memory-of-its-own", Wrong: "Every handle keeps its conversations in its own memory.",
			Rules: []string{
				"S4.replicas", "S4.race", "S20.handles", "S26.entries", "S26.snapshot", "S26.stale", "S26.ends",
				"S27.listened", "S28.outcome", "S29.stop", "S32.race",
			},
			Break: func(s store.Store, o Options) store.Store {
				if o.Memory == nil {
					return s
				}
				return o.Memory()
			},
		},
		{
			Name: "needs-its-scripts", Wrong: "It fails when the server has lost its scripts.",
			Rules: []string{"S20.scripts"},
			Break: breaking(needsScripts),
		},
	}
}

func neverForgets(m *broken, _ Options) {
	var known table[store.Conversation]
	m.read = func(ctx context.Context, o store.Owner, id string, r store.Range) (store.Conversation, error) {
		c, err := m.Store.Conversation(ctx, o, id, r)
		if before, ok := known.get(id); ok && errors.Is(err, store.ErrNotFound) && before.Owner == o {
			return before, nil
		}
		if err == nil {
			known.set(id, c)
		}
		return c, err
	}
}

func lastsOneTTL(m *broken, o Options) {
	var started table[time.Time]
	m.begin = func(ctx context.Context, b store.Begin) (store.Turn, error) {
		if b.New {
			started.set(b.Conversation, o.now())
		} else if at, ok := started.get(b.Conversation); ok && o.now().Sub(at) > o.ttl() {
			return store.Turn{}, store.ErrNotFound
		}
		return m.Store.BeginTurn(ctx, b)
	}
}

func renewsAtHalf(m *broken, o Options) {
	var renewed table[time.Time]
	writes := func(id string) (ended bool) {
		at, ok := renewed.get(id)
		age := o.now().Sub(at)
		if !ok || age > o.ttl()/2 && age <= o.ttl() {
			renewed.set(id, o.now())
		}
		return ok && age > o.ttl()
	}
	m.begin = func(ctx context.Context, b store.Begin) (store.Turn, error) {
		if writes(b.Conversation) {
			return store.Turn{}, store.ErrNotFound
		}
		return m.Store.BeginTurn(ctx, b)
	}
	m.complete = func(ctx context.Context, t store.Turn, c store.Completion) error {
		writes(t.Conversation)
		return m.Store.CompleteTurn(ctx, t, c)
	}
	m.fail = func(ctx context.Context, t store.Turn, class string) error {
		writes(t.Conversation)
		return m.Store.FailTurn(ctx, t, class)
	}
	m.status = func(ctx context.Context, owner store.Owner, id string, s store.Status) (store.Conversation, error) {
		writes(id)
		return m.Store.SetStatus(ctx, owner, id, s)
	}
}

func keepsForever(m *broken, o Options) {
	m.begin = func(ctx context.Context, b store.Begin) (store.Turn, error) {
		t, err := m.Store.BeginTurn(ctx, b)
		if err == nil && o.Persist != nil {
			err = o.Persist(ctx, b.Conversation)
		}
		return t, err
	}
}

func leavesKey(m *broken, _ Options) {
	m.remove = func(ctx context.Context, o store.Owner, id string) error {
		if err := m.Store.Delete(ctx, o, id); err != nil {
			return err
		}
		_, err := m.Store.BeginTurn(ctx, store.Begin{Owner: o, Conversation: id, New: true, Fingerprint: "left"})
		return err
	}
}

func needsScripts(m *broken, o Options) {
	m.begin = func(ctx context.Context, b store.Begin) (store.Turn, error) {
		if o.ScriptsLost != nil && o.ScriptsLost() {
			return store.Turn{}, &store.Error{Op: "BeginTurn", Kind: store.ErrRejected, Code: "NOSCRIPT"}
		}
		return m.Store.BeginTurn(ctx, b)
	}
}

func completesGone(m *broken, _ Options) {
	var deleted table[bool]
	m.remove = func(ctx context.Context, o store.Owner, id string) error {
		deleted.set(id, true)
		return m.Store.Delete(ctx, o, id)
	}
	m.complete = func(ctx context.Context, t store.Turn, c store.Completion) error {
		err := m.Store.CompleteTurn(ctx, t, c)
		if asked, _ := deleted.get(t.Conversation); errors.Is(err, store.ErrNotFound) && !asked {
			return nil
		}
		return err
	}
}
