package redis

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/redistest"
	"parley/store"
)

// meanwhile calls do once, after a legacy record was read and before anything is
// made of it.
type meanwhile struct{ do func() }

func (b *meanwhile) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (b *meanwhile) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook { return next }

func (b *meanwhile) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		err := next(ctx, cmds)
		if do := b.do; do != nil && cmds[0].Name() == "get" {
			b.do = nil
			do()
		}
		return err
	}
}

// Whatever another instance does to a legacy record between its being read and its
// being moved: what was deleted stays deleted (S17), and what was moved is found.
func TestLegacyRaces(t *testing.T) {
	url := redistest.Start(t).URL()
	other := newStore(t, url, 5*time.Second)
	ctx := t.Context()
	set := func(o store.Owner, id, text string) {
		t.Helper()
		record := `{"externalId":"` + id + `","userId":"` + o.User + `","history":[{"id":"m","role":"user","kind":"text","text":"` + text + `"}]}`
		if err := errors.Join(other.rdb().Set(ctx, legacyKey(id), record, time.Hour).Err(),
			other.rdb().ZAdd(ctx, legacyIndexKey(o), goredis.Z{Score: 1, Member: id}).Err()); err != nil {
			t.Fatal(err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const old, renewed = "old", "renewed"
	for call, run := range map[string]func(s *Store, o store.Owner, id string) error{
		"BeginTurn": func(s *Store, o store.Owner, id string) error {
			_, err := s.BeginTurn(ctx, store.Begin{Owner: o, Conversation: id, Fingerprint: "f"})
			return err
		},
		"SetStatus": func(s *Store, o store.Owner, id string) error {
			_, err := s.SetStatus(ctx, o, id, store.StatusCompleted)
			return err
		},
		"Conversation": func(s *Store, o store.Owner, id string) error {
			_, err := s.Conversation(ctx, o, id, store.Range{})
			return err
		},
		"Delete": func(s *Store, o store.Owner, id string) error { return s.Delete(ctx, o, id) },
	} {
		for what, c := range map[string]struct {
			do   func(o store.Owner, id string)
			want error  // of the call
			text string // what is there afterwards; empty for nothing
		}{
			"deleted": {func(o store.Owner, id string) { must(other.Delete(ctx, o, id)) }, store.ErrNotFound, ""},
			"moved": {func(o store.Owner, id string) {
				_, err := other.SetStatus(ctx, o, id, store.StatusActive)
				must(err)
			}, nil, old},
			"moved and deleted": {func(o store.Owner, id string) {
				_, err := other.SetStatus(ctx, o, id, store.StatusActive)
				must(err)
				must(other.Delete(ctx, o, id))
			}, store.ErrNotFound, ""},
			"written to": {func(o store.Owner, id string) { set(o, id, renewed) }, nil, renewed},
		} {
			t.Run(call+" while it is "+what, func(t *testing.T) {
				o, id := store.Owner{Tenant: store.DefaultTenant, User: uuid.NewString()}, uuid.NewString()
				set(o, id, old)
				s := newStore(t, url, 5*time.Second)
				s.rdb().AddHook(&meanwhile{do: func() { c.do(o, id) }})
				want := c.want
				if call == "Conversation" { // which was before it
					want = nil
				}
				if err := run(s, o, id); !errors.Is(err, want) {
					t.Errorf("the call: %v, want %v", err, want)
				}
				got, err := other.Conversation(ctx, o, id, store.Range{})
				if c.text == "" || call == "Delete" {
					if l, lerr := other.List(ctx, o, store.Page{}); !errors.Is(err, store.ErrNotFound) || lerr != nil || len(l.Conversations) != 0 {
						t.Errorf("it is back: %+v, %v, listed %+v, %v", got, err, l, lerr)
					}
					return
				}
				if err != nil || got.Messages[0].Text != c.text {
					t.Errorf("afterwards: %+v, %v", got, err)
				}
			})
		}
	}
}
