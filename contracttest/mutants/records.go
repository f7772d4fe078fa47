package mutants

import (
	"context"
	"errors"
	"fmt"

	"parley/store"
)

// records are wrong about what is kept and who sees it.
func records() []Mutant {
	return []Mutant{
		{
			Name: "drops-card-ids", Wrong: "It does not store the ids of cards.",
			Rules: []string{"S1.round-trip"},
			Break: changingCompletion(func(c *store.Completion) {
				for i := range c.Messages {
					c.Messages[i].CardID = ""
				}
			}),
		},
		{
			Name: "aliases", Wrong: "It returns the same value to every reader instead of a copy.",
			Rules: []string{"S1.no-alias"},
			Break: breaking(aliases),
		},
		{
			Name: "hides-absence", Wrong: "It reports success for a conversation that does not exist.",
			Rules: []string{"S2.absent", "S2.owners", "S2.starting", "S8.failed-start", "S9.start", "S15.expires", "S17.delete", "S25.lost", "S15.nine-tenths"},
			Break: hiding(store.ErrNotFound),
		},
		{
			Name: "ignores-tenant", Wrong: "It looks up every conversation in the default tenant.",
			Rules: []string{
				"S1.round-trip", "S2.owners", "S2.legacy-owner", "S26.entries", "S26.snapshot", "S26.stale",
				"S26.ends", "S27.listened", "S28.outcome", "S29.stop", "S26.no-trace", "S23.damaged",
			},
			Break: breaking(ignoresTenant),
		},
		{
			Name: "ignores-from", Wrong: "It returns the newest messages to a caller that asked for those from a turn on.",
			Rules: []string{"S13.from", "S13.failures", "S20.legacy"},
			Break: changingRange(func(r *store.Range) { r.From = 0 }),
		},
		{
			Name: "ignores-before", Wrong: "It returns the newest messages to a caller that asked for earlier ones.",
			Rules: []string{"S13.pages", "S13.bytes", "S13.failures"},
			Break: changingRange(func(r *store.Range) { r.Before = 0 }),
		},
		{
			Name: "ignores-limit", Wrong: "It returns as many messages as it can, whatever the limit is.",
			Rules: []string{"S13.pages", "S13.from", "S13.failures"},
			Break: changingRange(func(r *store.Range) { r.Limit = 0 }),
		},
		{
			Name: "ends-early", Wrong: "It never says that there are earlier messages.",
			Rules: []string{"S13.pages", "S13.bytes", "S13.from"},
			Break: breaking(func(m *broken, _ Options) {
				m.read = func(ctx context.Context, o store.Owner, id string, r store.Range) (store.Conversation, error) {
					c, err := m.Store.Conversation(ctx, o, id, r)
					c.Earlier = false
					return c, err
				}
			}),
		},
		{
			Name: "ignores-legacy", Wrong: "It finds only the conversations that it began itself.",
			Rules: []string{"S22.instances", "S20.legacy", "S2.legacy-owner", "S20.legacy-pages", "S20.legacy-case", "S20.legacy-unreadable"},
			Break: breaking(ignoresLegacy),
		},
	}
}

// changingRange breaks a store by changing which messages it is asked for.
func changingRange(change func(*store.Range)) func(store.Store, Options) store.Store {
	return breaking(func(m *broken, _ Options) {
		m.read = func(ctx context.Context, o store.Owner, id string, r store.Range) (store.Conversation, error) {
			change(&r)
			return m.Store.Conversation(ctx, o, id, r)
		}
	})
}

func aliases(m *broken, _ Options) {
	var returned table[store.Conversation]
	m.read = func(ctx context.Context, o store.Owner, id string, r store.Range) (store.Conversation, error) {
		c, err := m.Store.Conversation(ctx, o, id, r)
		if err != nil {
			return c, err
		}
		key := fmt.Sprint(id, " part ", r)
		if before, ok := returned.get(key); ok && before.UpdatedAt.Equal(c.UpdatedAt) && len(before.Messages) == len(c.Messages) {
			return before, nil
		}
		returned.set(key, c)
		return c, nil
	}
}

func ignoresTenant(m *broken, _ Options) {
	m.begin = func(ctx context.Context, b store.Begin) (store.Turn, error) {
		b.Owner.Tenant = store.DefaultTenant
		return m.Store.BeginTurn(ctx, b)
	}
	m.read = func(ctx context.Context, o store.Owner, id string, r store.Range) (store.Conversation, error) {
		o.Tenant = store.DefaultTenant
		return m.Store.Conversation(ctx, o, id, r)
	}
	m.list = func(ctx context.Context, o store.Owner, p store.Page) (store.Listing, error) {
		o.Tenant = store.DefaultTenant
		return m.Store.List(ctx, o, p)
	}
	m.status = func(ctx context.Context, o store.Owner, id string, s store.Status) (store.Conversation, error) {
		o.Tenant = store.DefaultTenant
		return m.Store.SetStatus(ctx, o, id, s)
	}
	m.remove = func(ctx context.Context, o store.Owner, id string) error {
		o.Tenant = store.DefaultTenant
		return m.Store.Delete(ctx, o, id)
	}
}

func ignoresLegacy(m *broken, _ Options) {
	var began table[bool]
	m.begin = func(ctx context.Context, b store.Begin) (store.Turn, error) {
		t, err := m.Store.BeginTurn(ctx, b)
		if err == nil {
			began.set(b.Conversation, true)
		}
		return t, err
	}
	m.read = func(ctx context.Context, o store.Owner, id string, r store.Range) (store.Conversation, error) {
		c, err := m.Store.Conversation(ctx, o, id, r)
		if _, ok := began.get(id); !ok && !errors.Is(err, context.Canceled) {
			return store.Conversation{}, store.ErrNotFound
		}
		return c, err
	}
}
