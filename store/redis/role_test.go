package redis

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
	"parley/store"
)

// admin is a client of the library's, for what an administrator does.
func admin(t *testing.T, server *redistest.Server) *goredis.Client {
	t.Helper()
	c := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// replicate makes a server the replica of another and waits until it has what
// that has.
func replicate(t *testing.T, replica *goredis.Client, primary *redistest.Server) {
	t.Helper()
	host, port := primary.ContainerAddr(t)
	if err := replica.ReplicaOf(t.Context(), host, port).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the replica follows", func() bool {
		role, err := replica.Do(t.Context(), "ROLE").Slice()
		return err == nil && len(role) > 3 && role[3] == "connected"
	})
}

// eventually waits until a condition holds, for far longer than it should take,
// and returns how long that took.
func eventually(t *testing.T, what string, holds func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for tick := time.Tick(5 * time.Millisecond); ; <-tick {
		took := time.Since(began)
		if holds() {
			return took
		}
		if took > 30*time.Second {
			t.Fatalf("not after %v: %s", took, what)
		}
	}
}

// atOnce makes a call n times at the same time. Each sends a command that m selects, and
// all are held until the last has come, so that none has the connection of another: in
// the end, n connections are idle.
func atOnce(p *faultproxy.Proxy, m faultproxy.Match, n int, call func()) {
	var calls sync.WaitGroup
	gates := make([]*faultproxy.Gate, n)
	for i := range gates {
		gates[i] = p.Hold(m)
		calls.Go(call)
	}
	for _, gate := range gates {
		<-gate.Held()
	}
	for _, gate := range gates {
		gate.Release()
	}
	calls.Wait()
}

// connect opens n connections of a store, idle in the end. Those that are idle
// already are among them.
func connect(t *testing.T, s *Store, p *faultproxy.Proxy, n int) {
	t.Helper()
	atOnce(p, faultproxy.Names("EXISTS"), n, func() { _ = s.rdb().Exists(t.Context(), "none").Err() })
	if open := int(s.rdb().PoolStats().TotalConns); open < n {
		t.Fatalf("%d connections are open", open)
	}
}

func start(t *testing.T, s *Store, id string) {
	t.Helper()
	turn, err := s.BeginTurn(t.Context(), store.Begin{Owner: owner, Conversation: id, New: true, Fingerprint: "f"})
	if err == nil {
		err = s.CompleteTurn(t.Context(), turn, store.Completion{UpstreamID: "u"})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// After a failover that leaves the connections to the former primary open, an
// instance that only reads finds the new primary by itself, with all of its
// connections, and no read fails meanwhile.
func TestFailoverUnderReads(t *testing.T) {
	Slow(t)
	a, b := redistest.Start(t), redistest.Start(t)
	adminA, adminB := admin(t, a), admin(t, b)
	replicate(t, adminB, a)
	p := faultproxy.Start(t, a.Addr())
	reader := newStore(t, "redis://"+p.Addr(), 5*time.Second)
	connect(t, reader, p, 4)

	if err := adminB.ReplicaOf(t.Context(), "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
	replicate(t, adminA, b)
	// The new primary cannot be reached under the name yet: reads go on.
	for range 3 {
		reader.one().checkRoles()
		if _, err := reader.Conversation(t.Context(), owner, "none", store.Range{}); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("during the failover: %v", err)
		}
	}
	if err := adminA.ReplicaOf(t.Context(), "127.0.0.1", "1").Err(); err != nil { // it gets nothing from now on
		t.Fatal(err)
	}
	id := uuid.NewString()
	start(t, newStore(t, b.URL(), 5*time.Second), id)
	p.SetUpstream(b.Addr())
	took := eventually(t, "the turn that the new primary acknowledged is read", func() bool {
		_, err := reader.Conversation(t.Context(), owner, id, store.Range{})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("during the failover: %v", err)
		}
		return err == nil
	})
	t.Logf("read after %v", took)
	for range 8 { // on whichever connection
		if _, err := reader.Conversation(t.Context(), owner, id, store.Range{}); err != nil {
			t.Errorf("after the failover: %v", err)
		}
	}
}

// One connection to a demoted primary among others is enough.
func TestOneConnectionToAReplica(t *testing.T) {
	Slow(t)
	a, b := redistest.Start(t), redistest.Start(t)
	p := faultproxy.Start(t, a.Addr())
	s := newStore(t, "redis://"+p.Addr(), 5*time.Second)
	connect(t, s, p, 1)
	p.SetUpstream(b.Addr())
	connect(t, s, p, 6)
	before := s.one().current.Load()
	s.one().checkRoles()
	if s.one().current.Load() != before {
		t.Fatal("two primaries are reason to leave one")
	}
	replicate(t, admin(t, a), b)
	eventually(t, "the client is replaced", func() bool { return s.one().current.Load() != before })
}

// The interval and the timeout keep what is promised.
func TestRoleBound(t *testing.T) {
	if roleInterval+roleTimeout > 2*time.Second {
		t.Errorf("a demoted primary may be read for %v", roleInterval+roleTimeout)
	}
}

// The role is known to a user that may do nothing but what the store does, and
// a server that has no HELLO is said not to tell.
func TestRoleUntold(t *testing.T) {
	server := redistest.Start(t)
	err := admin(t, server).Do(t.Context(), "ACL", "SETUSER", "limited", "on", ">secret", "~*", "+@all", "-@admin", "-@dangerous", "-role", "-info", "-hello").Err()
	if err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]bool{
		"redis://limited:secret@" + server.Addr(): false,
		serve(t, "+PONG\r\n"):                     true,
	} {
		s := newStore(t, url, 5*time.Second)
		if err := s.rdb().Ping(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		s.one().checkRoles()
		if got := s.RoleUntold(); got != want {
			t.Errorf("%s: untold: %v, want %v", url, got, want)
		}
	}
}

// A store that nobody uses connects to nothing.
func TestRoleOfNobody(t *testing.T) {
	dialed := false
	s, err := New(Options{URL: "redis://redis.test:1", Trace: Trace{Dialed: func(context.Context, time.Duration, error) { dialed = true }}})
	if err != nil {
		t.Fatal(err)
	}
	s.one().checkRoles()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if dialed {
		t.Error("it dialed")
	}
}
