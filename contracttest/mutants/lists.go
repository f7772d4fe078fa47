package mutants

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync/atomic"

	"parley/store"
)

// lists are wrong about lists.
func lists() []Mutant {
	return []Mutant{
		{
			Name: "lists-oldest-first", Wrong: "It turns each page of a list around.",
			Rules: []string{"S14.order", "S14.pages", "S14.deleted", "S14.vanishing"},
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
			Rules: []string{"S14.order", "S14.pages", "S14.cursor", "S14.deleted", "S14.vanishing", "S32.quota"},
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
			Rules: []string{"S2.owners", "S2.starting", "S8.failed-start", "S9.start", "S14.expired", "S14.vanishing", "S15.expires", "S17.delete", "S25.lost", "S15.nine-tenths"},
			Break: breaking(listsExpired),
		},
		{
			Name: "ends-a-list-at-a-delete", Wrong: "Its list has no next page when something was deleted since the page before.",
			Rules: []string{"S14.vanishing"},
			Break: breaking(endsAtDelete),
		},
		{
			Name: "ends-a-list-at-damage", Wrong: "Its list has no next page after one with an entry that does not decode.",
			Rules: []string{"S14.damaged"},
			Break: breaking(func(m *broken, _ Options) {
				m.list = func(ctx context.Context, o store.Owner, p store.Page) (store.Listing, error) {
					l, err := m.Store.List(ctx, o, p)
					if l.Corrupt > 0 {
						l.NextCursor = ""
					}
					return l, err
				}
			}),
		},
		{
			Name: "lists-nothing-old", Wrong: "It takes what was written to longer ago than a time to live for expired.",
			Rules: []string{"S20.legacy", "S20.legacy-pages", "S20.legacy-behind", "S20.legacy-once", "S20.legacy-case", "S20.legacy-unreadable"},
			Break: breaking(func(m *broken, o Options) {
				m.list = func(ctx context.Context, owner store.Owner, p store.Page) (store.Listing, error) {
					l, err := m.Store.List(ctx, owner, p)
					l.Conversations = slices.DeleteFunc(l.Conversations, func(c store.Conversation) bool { return o.now().Sub(c.UpdatedAt) > o.ttl() })
					return l, err
				}
			}),
		},
		{
			Name: "takes-anything-for-a-cursor", Wrong: "It answers a cursor that it did not make with an empty page.",
			Rules: []string{"S14.cursor"},
			Break: hiding(store.ErrCursor),
		},
	}
}

func endsAtDelete(m *broken, _ Options) {
	var deleted atomic.Bool
	m.remove = func(ctx context.Context, o store.Owner, id string) error {
		err := m.Store.Delete(ctx, o, id)
		if err == nil {
			deleted.Store(true)
		}
		return err
	}
	m.list = func(ctx context.Context, o store.Owner, p store.Page) (store.Listing, error) {
		l, err := m.Store.List(ctx, o, p)
		if deleted.Swap(false) {
			l.NextCursor = ""
		}
		return l, err
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
			if _, err := m.Store.Conversation(ctx, o, c.ID, store.Range{}); errors.Is(err, store.ErrNotFound) {
				l.Conversations = append(l.Conversations, c)
			}
		}
		return l, nil
	}
}
