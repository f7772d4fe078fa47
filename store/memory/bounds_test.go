package memory_test

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"parley/contracttest"
	"parley/store"
	"parley/store/memory"
)

func start(t *testing.T, s store.Store, o store.Owner, id string) {
	t.Helper()
	turn, err := s.BeginTurn(t.Context(), store.Begin{Owner: o, Conversation: id, New: true, Fingerprint: "f"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.CompleteTurn(t.Context(), turn, store.Completion{}); err != nil {
		t.Fatal(err)
	}
}

// With the bound passed, the conversation that was written to longest ago goes.
func TestMaxConversations(t *testing.T) {
	s := memory.New(memory.Options{MaxConversations: 3})
	o := contracttest.NewOwner()
	for i := range 3 {
		start(t, s, o, strconv.Itoa(i))
	}
	if _, err := s.SetStatus(t.Context(), o, "0", store.StatusActive); err != nil {
		t.Fatal(err)
	}
	start(t, s, o, "3")
	for id, want := range map[string]error{"0": nil, "1": store.ErrNotFound, "2": nil, "3": nil} {
		if _, err := s.Conversation(t.Context(), o, id, store.Range{}); !errors.Is(err, want) {
			t.Errorf("conversation %s: %v, want %v", id, err, want)
		}
	}
	l, err := s.List(t.Context(), o, store.Page{})
	if err != nil || len(l.Conversations) != 3 {
		t.Errorf("listed %d, %v", len(l.Conversations), err)
	}
}

// Who starts more than there is room for loses conversations of their own, and
// nobody else's; by number as by bytes.
func TestOwnersMakeRoomForThemselves(t *testing.T) {
	for name, o := range map[string]memory.Options{"number": {MaxConversations: 100}, "bytes": {MaxBytes: 100 * 3 << 10}} {
		s := memory.New(o)
		quiet, loud := contracttest.NewOwner(), contracttest.NewOwner()
		start(t, s, quiet, "quiet")
		for i := range 300 {
			start(t, s, loud, strconv.Itoa(i))
		}
		if _, err := s.Conversation(t.Context(), quiet, "quiet", store.Range{}); err != nil {
			t.Errorf("%s: the other's conversation: %v", name, err)
		}
		if _, err := s.Conversation(t.Context(), loud, "0", store.Range{}); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: the bound does not hold: %v", name, err)
		}
		if _, err := s.Conversation(t.Context(), loud, "299", store.Range{}); err != nil {
			t.Errorf("%s: the newest: %v", name, err)
		}
		third := contracttest.NewOwner()
		start(t, s, third, "third")
		if _, err := s.Conversation(t.Context(), quiet, "quiet", store.Range{}); err != nil {
			t.Errorf("%s: a third owner did not take from the one with most: %v", name, err)
		}
	}
}

// A conversation whose turn runs is not idle, however long ago it began.
func TestHeldIsNotIdle(t *testing.T) {
	s := memory.New(memory.Options{MaxConversations: 1})
	o := contracttest.NewOwner()
	start(t, s, o, "held")
	turn, err := s.BeginTurn(t.Context(), store.Begin{Owner: o, Conversation: "held", Fingerprint: "f"})
	if err != nil {
		t.Fatal(err)
	}
	start(t, s, o, "other")
	if err := s.CompleteTurn(t.Context(), turn, store.Completion{}); err != nil {
		t.Errorf("its turn ends with %v", err)
	}
	start(t, s, o, "third")
	if _, err := s.Conversation(t.Context(), o, "other", store.Range{}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the bound does not hold: %v", err)
	}
}

// BenchmarkTurn is begin and complete at two lengths of history, to be compared
// with each other.
func BenchmarkTurn(b *testing.B) {
	for _, history := range []int{10, 5000} {
		b.Run(strconv.Itoa(history), func(b *testing.B) {
			contracttest.BenchTurn(b, memory.New(memory.Options{TTL: time.Hour}), history)
		})
	}
}
