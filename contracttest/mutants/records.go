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
			Rules: []string{"S2.absent", "S2.owners", "S2.starting", "S8.failed-start", "S9.start", "S15.expires", "S17.delete", "S25.lost"},
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
			Name: "ignores-after", Wrong: "It returns all messages to a caller that asked for the later ones.",
			Rules: []string{"S13.after"},
			Break: breaking(func(m *broken, _ Options) {
				m.read = func(ctx context.Context, o store.Owner, id string, _ int) (store.Conversation, error) {
					return m.Store.Conversation(ctx, o, id, -1)
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

func aliases(m *broken, _ Options) {
	var returned table[store.Conversation]
	m.read = func(ctx context.Context, o store.Owner, id string, after int) (store.Conversation, error) {
		c, err := m.Store.Conversation(ctx, o, id, after)
		if err != nil {
			return c, err
		}
		key := fmt.Sprint(id, " after ", after)
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
	m.read = func(ctx context.Context, o store.Owner, id string, after int) (store.Conversation, error) {
		o.Tenant = store.DefaultTenant
		return m.Store.Conversation(ctx, o, id, after)
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
	m.read = func(ctx context.Context, o store.Owner, id string, after int) (store.Conversation, error) {
		c, err := m.Store.Conversation(ctx, o, id, after)
		if _, ok := began.get(id); !ok && !errors.Is(err, context.Canceled) {
			return store.Conversation{}, store.ErrNotFound
		}
		return c, err
	}
}
