package mutants

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"parley/store"
)

// lists are wrong about lists.
func lists() []Mutant {
	return []Mutant{
		{
			Name: "lists-oldest-first", Wrong: "It turns each page of a list around.",
			Rules: []string{"S14.order", "S14.pages", "S14.deleted"},
			Break: breaking(func(m *broken, _ Options) {
				m.list = func(ctx context.Context, o store.Owner, p store.Page) (store.Listing, error) {
					l, err := m.Store.List(ctx, o, p)
					slices.Reverse(l.Conversations)
					return l, err
				}
			}),
		},
		{
			Name: "pages-by-number", Wrong: "Its cursor counts conversations instead of naming a place among them.",
			Rules: []string{"S14.order", "S14.pages", "S14.cursor", "S14.deleted"},
			Break: breaking(func(m *broken, _ Options) {
				m.list = func(ctx context.Context, o store.Owner, p store.Page) (store.Listing, error) {
					all, err := m.Store.List(ctx, o, store.Page{})
					from, _ := strconv.Atoi(p.Cursor)
					to := min(len(all.Conversations), from+max(p.Limit, 1))
					return store.Listing{Conversations: all.Conversations[min(from, to):to], NextCursor: strconv.Itoa(to)}, err
				}
			}),
		},
		{
			Name: "lists-what-has-expired", Wrong: "It adds the conversations that it has started, and that are gone, to the first page of a list.",
			Rules: []string{"S2.owners", "S2.starting", "S8.failed-start", "S9.start", "S14.expired", "S15.expires", "S17.delete"},
			Break: breaking(listsExpired),
		},
		{
			Name: "takes-anything-for-a-cursor", Wrong: "It answers a cursor that it did not make with an empty page.",
			Rules: []string{"S14.cursor"},
			Break: hiding(store.ErrCursor),
		},
	}
}

func listsExpired(m *broken, _ Options) {
	var started table[[]store.Conversation] // by user
	m.begin = func(ctx context.Context, b store.Begin) (store.Turn, error) {
		t, err := m.Store.BeginTurn(ctx, b)
		if b.New && err == nil {
			list, _ := started.get(b.Owner.User)
			started.set(b.Owner.User, append(slices.Clip(list), store.Conversation{ID: b.Conversation}))
		}
		return t, err
	}
	m.list = func(ctx context.Context, o store.Owner, p store.Page) (store.Listing, error) {
		l, err := m.Store.List(ctx, o, p)
		if err != nil || p.Cursor != "" {
			return l, err
		}
		list, _ := started.get(o.User)
		for _, c := range list {
			if _, err := m.Store.Conversation(ctx, o, c.ID, -1); errors.Is(err, store.ErrNotFound) {
				l.Conversations = append(l.Conversations, c)
			}
		}
		return l, nil
	}
}
