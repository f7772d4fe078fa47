package redis

import (
	"context"
	"errors"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/store"
)

// mouth answers scripts instead of a Redis. Say makes the answer of the nth, out of
// the token of its call.
type mouth struct {
	n   int
	say func(n int, call string) []any
}

func (m *mouth) DialHook(next goredis.DialHook) goredis.DialHook { return next }

// ProcessPipelineHook gives a legacy record, which writes move to today's form.
func (m *mouth) ProcessPipelineHook(goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(_ context.Context, cmds []goredis.Cmder) error {
		for _, cmd := range cmds {
			if c, ok := cmd.(*goredis.StringCmd); ok {
				c.SetVal(`{"externalId":"id","userId":"` + owner.User + `","tenantId":"` + owner.Tenant + `"}`)
			}
		}
		return nil
	}
}

func (m *mouth) ProcessHook(goredis.ProcessHook) goredis.ProcessHook {
	return func(_ context.Context, cmd goredis.Cmder) error {
		if c, ok := cmd.(once); ok {
			keys, _ := c.Args()[2].(int)
			call, _ := c.Args()[3+keys].(string)
			m.n++
			c.SetVal(m.say(m.n, call))
		}
		return nil
	}
}

// A write that is answered with what belongs to another call was not acknowledged.
func TestAnswersOfOtherCalls(t *testing.T) {
	turn := store.Turn{Owner: owner, Conversation: "id", Token: "token"}
	for op, write := range map[string]func(s *Store, ctx context.Context) error{
		"BeginTurn": func(s *Store, ctx context.Context) error {
			_, err := s.BeginTurn(ctx, store.Begin{Owner: owner, Conversation: "id", Fingerprint: "f"})
			return err
		},
		"CompleteTurn": func(s *Store, ctx context.Context) error { return s.CompleteTurn(ctx, turn, store.Completion{}) },
		"FailTurn":     func(s *Store, ctx context.Context) error { return s.FailTurn(ctx, turn, "internal") },
		"RenewLease":   func(s *Store, ctx context.Context) error { _, err := s.RenewLease(ctx, turn); return err },
		"Publish": func(s *Store, ctx context.Context) error {
			_, _, err := s.Publish(ctx, turn, store.Entry{})
			return err
		},
		"Follow": func(s *Store, ctx context.Context) error {
			_, err := s.Follow(ctx, store.Follow{Owner: owner, Conversation: "id"})
			return err
		},
		"Stop":   func(s *Store, ctx context.Context) error { _, _, err := s.Stop(ctx, owner, "id"); return err },
		"Delete": func(s *Store, ctx context.Context) error { return s.Delete(ctx, owner, "id") },
		"SetStatus": func(s *Store, ctx context.Context) error {
			_, err := s.SetStatus(ctx, owner, "id", store.StatusActive)
			return err
		},
	} {
		for _, tag := range []string{"OK", "NOTFOUND", "CLOSED", "STALE", "BUSY", "BEGUN", "CORRUPT"} {
			for what, answer := range map[string]func(call string) []any{
				"none": func(string) []any { return []any{tag} },
				"another": func(string) []any {
					return []any{tag, "another", "1", "1", "0", "", "2026-11-22T09:15:04.120Z", "", "", "", ""}
				},
				"number":        func(string) []any { return []any{tag, int64(1)} },
				"in its place":  func(call string) []any { return []any{call, tag} },
				"only its call": func(call string) []any { return []any{call} },
			} {
				s := newStore(t, "redis://127.0.0.1:1", time.Second)
				s.rdb().AddHook(&mouth{say: func(_ int, call string) []any { return answer(call) }})
				if err := write(s, t.Context()); !errors.Is(err, store.ErrProtocol) {
					t.Errorf("%s answered %s with %s token: %v", op, tag, what, err)
				}
			}
		}
	}
	// The import of a legacy record is a write as well.
	s := newStore(t, "redis://127.0.0.1:1", time.Second)
	imports := &mouth{say: func(n int, call string) []any {
		if n == 1 {
			return []any{"NOTFOUND", call}
		}
		return []any{"OK", "another"}
	}}
	s.rdb().AddHook(imports)
	if _, err := s.SetStatus(t.Context(), owner, "id", store.StatusActive); !errors.Is(err, store.ErrProtocol) || imports.n != 2 {
		t.Errorf("import: %v after %d answers", err, imports.n)
	}
}
