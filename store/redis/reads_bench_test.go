package redis

import (
	"strconv"
	"testing"

	"parley/contracttest/redistest"
	"parley/store"
)

// filled is a store whose owner has so many conversations of so many turns each.
func filled(tb testing.TB, conversations, turns int) (*Store, []string) {
	tb.Helper()
	s, err := New(Options{URL: redistest.Start(tb).URL()})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	var ids []string
	for range conversations {
		c := newTalk(tb, s)
		for n := range turns {
			c.turn(c.says(n, "hello there"), "You said hello there, and this is what there is to say about it.")
		}
		ids = append(ids, c.id)
	}
	return s, ids
}

// BenchmarkList lists a page of fifty.
func BenchmarkList(b *testing.B) {
	s, _ := filled(b, 60, 2)
	b.ReportAllocs()
	for b.Loop() {
		if l, err := s.List(b.Context(), owner, store.Page{}); err != nil || len(l.Conversations) != store.MaxPage {
			b.Fatal(len(l.Conversations), err)
		}
	}
}

// BenchmarkConversation reads the newest messages of a conversation.
func BenchmarkConversation(b *testing.B) {
	for _, messages := range []int{10, 200} {
		b.Run(strconv.Itoa(messages), func(b *testing.B) {
			s, ids := filled(b, 1, messages/2)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Conversation(b.Context(), owner, ids[0], store.Range{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
