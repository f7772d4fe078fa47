package memory

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"parley/store"
	"parley/store/internal/wire"
)

var owner = store.Owner{Tenant: "t", User: "u"}

// held is a store with one conversation, in which a turn is held.
func held(t *testing.T, s *Store) (*conversation, store.Turn) {
	t.Helper()
	ctx := t.Context()
	message := []store.Message{{ID: "m", Role: store.RoleUser, Kind: store.KindText, Text: "x"}}
	started, err := s.BeginTurn(ctx, store.Begin{Owner: owner, Conversation: "id", New: true, Fingerprint: "start"})
	if err == nil {
		err = s.CompleteTurn(ctx, started, store.Completion{Outcome: store.Outcome{Messages: message}, UpstreamID: "up"})
	}
	if err != nil {
		t.Fatal(err)
	}
	turn, err := s.BeginTurn(ctx, store.Begin{
		Owner: owner, Conversation: "id", Input: message, Key: "key", Fingerprint: "question",
		Workflow: store.Workflow{StepData: []byte(`{}`), Metadata: []byte(`[]`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.peek(key{wire.OwnerTag(owner), "id"}), turn
}

// S23: a damaged record is corrupt to every method, none changes it, the list
// counts it, and a delete removes it.
func TestDamage(t *testing.T) {
	fields := map[string][]string{
		wire.FieldVersion: {"2", ""}, wire.FieldTenant: {"x"}, wire.FieldUser: {"x"}, wire.FieldCreated: {"x"}, wire.FieldUpdated: {"x", ""},
		wire.FieldStatus: {"open", ""}, wire.FieldEnded: {"x", "0"}, wire.FieldTurns: {"x", "-1", "01"}, wire.FieldCount: {"x", "1"}, wire.FieldState: {"x", "done", "starting"},
		wire.FieldFence: {"x"}, wire.FieldToken: {"", "a b"}, wire.FieldDone: {""}, wire.FieldInput: {"", "a b"}, wire.FieldKey: {"x", "0123456789012345678901"},
		wire.FieldKeys: {"x", "7"}, wire.FieldStepData: {"{"}, wire.FieldMetadata: {"x"}, wire.FieldUnheard: {"x"}, wire.FieldHeardAt: {"x"},
	}
	damages := map[string]func(c *conversation){
		"message":  func(c *conversation) { c.messages[len(c.messages)-1] = "nonsense" },
		"messages": func(c *conversation) { c.messages = nil },
		"record":   func(c *conversation) { c.records[c.fields[wire.FieldKey]] = "nonsense" },
		"records":  func(c *conversation) { clear(c.records) },
	}
	for name, values := range fields {
		for _, v := range values {
			damages[name+" = "+v] = func(c *conversation) { c.fields[name] = v }
		}
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			s := New(Options{})
			c, turn := held(t, s)
			damage(c)
			kept := []any{maps.Clone(c.fields), slices.Clone(c.messages), maps.Clone(c.records), c.lease, c.expires}
			for method, err := range methods(t.Context(), s, turn) {
				if !errors.Is(err, store.ErrCorrupt) {
					t.Errorf("%s: %v", method, err)
				}
			}
			if now := []any{c.fields, c.messages, c.records, c.lease, c.expires}; !reflect.DeepEqual(kept, now) {
				t.Errorf("changed from %v to %v", kept, now)
			}
			if l, err := s.List(t.Context(), owner, store.Page{}); err != nil || l.Corrupt != 1 || len(l.Conversations) != 0 {
				t.Errorf("List: %+v, %v", l, err)
			}
			if err := s.Delete(t.Context(), owner, "id"); err != nil || len(s.convs)+len(s.index) != 0 {
				t.Errorf("Delete: %v, %d are left", err, len(s.convs))
			}
		})
	}
}

func methods(ctx context.Context, s *Store, turn store.Turn) map[string]error {
	all := map[string]error{
		"CompleteTurn": s.CompleteTurn(ctx, turn, store.Completion{}),
		"FailTurn":     s.FailTurn(ctx, turn, "internal"),
	}
	for _, k := range []string{"", "key", "other"} {
		_, all["BeginTurn with key "+k] = s.BeginTurn(ctx, store.Begin{Owner: owner, Conversation: "id", Fingerprint: "question", Key: k})
	}
	_, all["RenewLease"] = s.RenewLease(ctx, turn)
	_, _, all["Publish"] = s.Publish(ctx, turn, store.Entry{})
	_, all["Follow"] = s.Follow(ctx, store.Follow{Owner: owner, Conversation: "id"})
	_, _, all["Stop"] = s.Stop(ctx, owner, "id")
	_, all["SetStatus"] = s.SetStatus(ctx, owner, "id", store.StatusCompleted)
	_, all["Conversation"] = s.Conversation(ctx, owner, "id", store.Range{})
	return all
}

// S14: a clock that is set back leaves entries that end before older ones. The
// list shows each that lives, once.
func TestListAfterClockStepsBack(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	s := New(Options{TTL: time.Hour, Now: func() time.Time { return now }})
	start := func(id string) {
		turn, err := s.BeginTurn(t.Context(), store.Begin{Owner: owner, Conversation: id, New: true, Fingerprint: "f"})
		if err == nil {
			err = s.CompleteTurn(t.Context(), turn, store.Completion{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	start("newest")
	now = now.Add(-30 * time.Minute)
	start("b")
	start("a")
	if _, err := s.SetStatus(t.Context(), owner, "newest", store.StatusActive); err != nil { // its updatedAt stays
		t.Fatal(err)
	}
	now = now.Add(-10 * time.Minute)
	if _, err := s.SetStatus(t.Context(), owner, "newest", store.StatusActive); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour + time.Minute) // past the end of the newest alone
	var got []string
	l, err := s.List(t.Context(), owner, store.Page{})
	for _, c := range l.Conversations {
		got = append(got, c.ID)
	}
	if err != nil || !slices.Equal(got, []string{"b", "a"}) {
		t.Errorf("listed %v, %v", got, err)
	}
}
