package redis

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/redistest"
	"parley/store"
)

// A completion is told when so many replicas have it. Until then it is stored, nobody
// is told so, and it can be made again; that says nothing against the primary.
func TestWaitForReplicas(t *testing.T) {
	Slow(t)
	primary, replica := redistest.Start(t), redistest.Start(t)
	const timeout = 2 * time.Second
	s, err := New(Options{URL: primary.URL(), Timeout: timeout, WaitReplicas: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	id := uuid.NewString()
	turn, err := s.BeginTurn(t.Context(), store.Begin{Owner: owner, Conversation: id, New: true, Fingerprint: "f"})
	if err != nil {
		t.Fatal(err)
	}
	said := store.Completion{UpstreamID: "u", Outcome: store.Outcome{Messages: []store.Message{textOf(store.RoleAssistant, "hello")}}}
	began := time.Now()
	err = s.CompleteTurn(t.Context(), turn, said)
	took := time.Since(began)
	e, ok := errors.AsType[*store.Error](err)
	if !ok || !errors.Is(err, store.ErrTimeout) || !e.Transient() || !errors.Is(e.Cause, errFewReplicas) || took < timeout/2 {
		t.Fatalf("without a replica: %v after %v", err, took)
	}
	if n := s.one().current.Load().failures.Load(); n != 0 {
		t.Errorf("it counts as %d failures of the primary", n)
	}
	if c, err := s.Conversation(t.Context(), owner, id, store.Range{}); err != nil || len(c.Messages) != 1 {
		t.Errorf("it is not stored: %+v, %v", c, err)
	}
	replicate(t, admin(t, replica), primary)
	if err := s.CompleteTurn(t.Context(), turn, said); err != nil {
		t.Errorf("made again, with a replica: %v", err)
	}
	if n, err := admin(t, replica).DBSize(t.Context()).Result(); err != nil || n == 0 {
		t.Errorf("the replica has %d keys, %v", n, err)
	}
	if err := admin(t, primary).ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := s.CompleteTurn(t.Context(), turn, said); err != nil {
		t.Errorf("of a primary that has lost its scripts: %v", err)
	}
	if err := s.CompleteTurn(t.Context(), store.Turn{Owner: owner, Conversation: "none", Token: "t"}, said); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("of a conversation that is not there: %v", err)
	}
}

// Replicas are waited for where the write ran.
func TestWaitGoesWithItsWrite(t *testing.T) {
	t.Parallel()
	nodes := startScripted(t, 2)
	a, b := nodes[0], nodes[1]
	s := clusterOf(t, time.Second, a)
	a.will(func(_ int, args string) string {
		if strings.HasPrefix(args, "wait") {
			return ":7\r\n"
		}
		return moved(b)
	})
	b.will(func(_ int, args string) string {
		if strings.HasPrefix(args, "wait") {
			return ":0\r\n"
		}
		return "+OK\r\n"
	})
	var few bool
	err := s.do(t.Context(), owner, "CompleteTurn", func(ctx context.Context, c *client) (err error) {
		few, err = sendAndWait(ctx, c, goredis.NewCmd(ctx, "set", "x", "v"), 1)
		return err
	})
	got := b.heard()
	if err != nil || !few || len(got) != 2 || got[0] != "set x v" || !slices.Contains([]string{"wait 1 7", "wait 1 6"}, got[1][:min(8, len(got[1]))]) {
		t.Errorf("few: %v, %v; the nodes heard %q and %q", few, err, a.heard(), got)
	}
}
