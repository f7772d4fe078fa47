package redis

import (
	"context"
	"errors"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/redistest"
	"parley/store"
)

// traffic counts what goes between the store and Redis.
type traffic struct{ roundTrips, sent, received atomic.Int64 }

func (c *traffic) DialHook(next goredis.DialHook) goredis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		return &counted{conn, c}, err
	}
}

func (c *traffic) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		if cmd.Name() != "ping" { // which begins every connection, whenever one is made
			c.roundTrips.Add(1)
		}
		return next(ctx, cmd)
	}
}

func (c *traffic) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		c.roundTrips.Add(1)
		return next(ctx, cmds)
	}
}

type counted struct {
	net.Conn
	c *traffic
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.c.received.Add(int64(n))
	return n, err
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.c.sent.Add(int64(n))
	return n, err
}

// cost is what one call took.
type cost struct{ roundTrips, bytes int64 }

func (c *traffic) of(t *testing.T, call func() error) cost {
	t.Helper()
	roundTrips, bytes := c.roundTrips.Load(), c.sent.Load()+c.received.Load()
	if err := call(); err != nil {
		t.Fatal(err)
	}
	return cost{c.roundTrips.Load() - roundTrips, c.sent.Load() + c.received.Load() - bytes}
}

// Every call is one round trip, a list and a conversation with messages two; and what a turn sends and receives
// does not depend on how much was said before.
func TestRoundTrips(t *testing.T) {
	s, err := New(Options{URL: redistest.Start(t).URL(), roleInterval: time.Hour}) // whose questions are no call's
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	count := &traffic{}
	s.rdb().AddHook(count)
	ctx, id := t.Context(), uuid.NewString()
	say := func(text string) []store.Message {
		return []store.Message{{ID: uuid.NewString(), Role: store.RoleUser, Kind: store.KindText, Text: text}}
	}
	var turn store.Turn
	begin := func(isNew bool) func() error {
		return func() (err error) {
			b := store.Begin{Owner: owner, Conversation: id, New: isNew, Fingerprint: "f"}
			if !isNew {
				b.Input = say("question")
			}
			turn, err = s.BeginTurn(ctx, b)
			return err
		}
	}
	complete := func(n int) func() error {
		return func() error {
			var answer []store.Message
			for range n {
				answer = append(answer, say("answer")...)
			}
			return s.CompleteTurn(ctx, turn, store.Completion{Outcome: store.Outcome{Messages: answer}, UpstreamID: "u"})
		}
	}
	// The scripts have to be known first: what a server does not know costs a
	// second round trip once.
	warm := store.Turn{Owner: owner, Conversation: "none", New: true}
	_ = s.FailTurn(ctx, warm, "x")
	_ = s.CompleteTurn(ctx, warm, store.Completion{})
	_, _ = s.RenewLease(ctx, warm)
	_, _, _ = s.Publish(ctx, warm, store.Entry{})
	_, _ = s.Follow(ctx, store.Follow{Owner: owner, Conversation: "none"})
	_, _, _ = s.Stop(ctx, owner, "none")
	_ = s.Delete(ctx, owner, "none")
	_, _ = s.SetStatus(ctx, owner, "none", store.StatusActive)
	_, _ = s.BeginTurn(ctx, store.Begin{Owner: owner, Conversation: "none", Fingerprint: "f"})
	if err := s.Ping(ctx); err != nil {
		t.Fatal(err)
	}

	one := func(what string, call func() error) cost {
		t.Helper()
		c := count.of(t, call)
		if c.roundTrips != 1 {
			t.Errorf("%s took %d round trips", what, c.roundTrips)
		}
		return c
	}
	one("a start's BeginTurn", begin(true))
	one("a start's CompleteTurn", complete(1))
	short := [2]cost{one("BeginTurn", begin(false)), one("CompleteTurn", complete(1))}
	for range 10 {
		one("BeginTurn", begin(false))
		one("CompleteTurn of many messages", complete(500))
	}
	one("BeginTurn", begin(false))
	one("RenewLease", func() error { _, err := s.RenewLease(ctx, turn); return err })
	one("Publish", func() error {
		_, _, err := s.Publish(ctx, turn, store.Entry{Data: []byte("1"), Snapshot: true})
		return err
	})
	one("Follow", func() error { _, err := s.Follow(ctx, store.Follow{Owner: owner, Conversation: id}); return err })
	one("Stop", func() error { _, _, err := s.Stop(ctx, owner, id); return err })
	one("FailTurn", func() error { return s.FailTurn(ctx, turn, "internal") })
	one("adoption", begin(false))
	one("CompleteTurn", complete(1))
	long := [2]cost{one("BeginTurn", begin(false)), one("CompleteTurn", complete(1))}
	for i, op := range []string{"BeginTurn", "CompleteTurn"} {
		if grown := long[i].bytes - short[i].bytes; grown > 16 { // a few more digits
			t.Errorf("%s took %d bytes after 2 messages and %d after 5,000", op, short[i].bytes, long[i].bytes)
		}
	}
	if c := count.of(t, func() error { _, err := s.Conversation(ctx, owner, id, store.Range{}); return err }); c.roundTrips != 2 {
		t.Errorf("Conversation took %d round trips", c.roundTrips)
	}
	latest := one("Conversation after the last turn", func() error { _, err := s.Conversation(ctx, owner, id, store.Range{From: turn.Number + 1}); return err })
	if latest.bytes > 32<<10 {
		t.Errorf("what came after the last turn took %d bytes", latest.bytes)
	}
	one("SetStatus", func() error { _, err := s.SetStatus(ctx, owner, id, store.StatusCompleted); return err })
	if c := count.of(t, func() error { _, err := s.List(ctx, owner, store.Page{}); return err }); c.roundTrips != 2 {
		t.Errorf("List took %d round trips", c.roundTrips)
	}
	next, now := "", time.Now()
	for range 2 {
		s.SetClock(func() time.Time { return now })
		startFor(t, s, owner)
		now = now.Add(time.Second)
	}
	for page := 1; page == 1 || next != ""; page++ {
		c := count.of(t, func() error {
			l, err := s.List(ctx, owner, store.Page{Limit: 1, Cursor: next})
			next = l.NextCursor
			return err
		})
		if c.roundTrips != 2 {
			t.Errorf("List took %d round trips for page %d", c.roundTrips, page)
		}
	}
	if c := count.of(t, func() error { return s.Delete(ctx, owner, id) }); c.roundTrips != 2 {
		t.Errorf("Delete took %d round trips", c.roundTrips)
	}
}

// Credentials that a real Redis refuses, or misses, are said to be that by every
// call, however long its command.
func TestCredentials(t *testing.T) {
	server := redistest.Start(t, "--requirepass", "right")
	right := server.URL()
	for what, url := range map[string]string{
		"no password":    "redis://" + server.Addr(),
		"wrong password": strings.Replace(right, "right", "wrong", 1),
	} {
		s := newStore(t, url, 5*time.Second)
		for op, call := range calls(s) {
			if err := call(t.Context()); !errors.Is(err, store.ErrAuth) {
				t.Errorf("%s: %s: %v, want %v", what, op, err, store.ErrAuth)
			}
		}
	}
	if err := newStore(t, right, 5*time.Second).Ping(t.Context()); err != nil {
		t.Errorf("right password: %v", err)
	}
}

// Budget: the bytes of a conversation beside its messages, and of a message beside its
// JSON.
func TestMemoryBudget(t *testing.T) {
	s := newStore(t, redistest.Start(t).URL(), 5*time.Second)
	ctx := t.Context()
	sum := func(text, figure string) (sum int64) {
		for _, m := range regexp.MustCompile(figure+`(\d+)`).FindAllStringSubmatch(text, -1) {
			n, err := strconv.ParseInt(m[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
		return sum
	}
	// Without the buffers of connections, which come and go.
	used := func() int64 {
		n := sum(s.rdb().Info(ctx, "memory").Val(), "(?m)^used_memory:") - sum(s.rdb().ClientList(ctx).Val(), " tot-mem=")
		if n <= 0 {
			t.Fatal("Redis does not say what it uses")
		}
		return n
	}
	text := strings.Repeat("x", 400)
	fill := func(conversations, messages int) int64 {
		before := used()
		var who store.Owner
		for i := range conversations {
			if i%25 == 0 { // what one owner may have; beyond 128, Redis's index takes twice as much
				who = store.Owner{Tenant: uuid.NewString(), User: uuid.NewString()}
			}
			turn, err := s.BeginTurn(ctx, store.Begin{
				Owner: who, Conversation: uuid.NewString(), New: true, Fingerprint: strings.Repeat("f", 43),
			})
			if err != nil {
				t.Fatal(err)
			}
			var said []store.Message
			for range messages {
				said = append(said, store.Message{ID: uuid.NewString(), Role: store.RoleUser, Kind: store.KindText, Text: text})
			}
			if err := s.CompleteTurn(ctx, turn, store.Completion{Outcome: store.Outcome{Messages: said}, UpstreamID: uuid.NewString()}); err != nil {
				t.Fatal(err)
			}
		}
		return used() - before
	}
	fill(20, 1) // what Redis takes for its first keys is not a conversation's
	// So many that Redis's tables, which double when they are full, are three
	// quarters full, as they are on average.
	const n, m = 700, 50
	fixed := float64(fill(n, 1)) / n
	perMessage := (float64(fill(n, 1+m))/n - fixed) / m
	json := float64(len(`{"id":"","role":"user","kind":"text","text":""}`) + 36 + len(text))
	fixed -= perMessage
	t.Logf("%.0f bytes for a conversation, %.0f for each message of %.0f", fixed, perMessage, json)
	bytesPerConversation.holds(t, "a conversation beside its messages", fixed, 0.05)
	bytesPerMessage.holds(t, "a message beside its JSON", perMessage-json, 0.3)
}
