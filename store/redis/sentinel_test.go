package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/faultproxy"
	"parley/contracttest/latency"
	"parley/contracttest/redistest"
	"parley/store"
)

// openWatched makes a store of what some sentinels watch.
func openWatched(t *testing.T, s *redistest.Sentinels, change ...func(*Options)) *Store {
	t.Helper()
	o := Options{
		URL: s.Sentinels[0].URL(), Nodes: s.Addrs()[1:], Mode: ModeSentinel, SentinelMaster: redistest.SentinelMaster,
		Timeout: 2 * time.Second, Prefix: uuid.NewString() + ":",
	}
	for _, f := range change {
		f(&o)
	}
	store, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// acknowledged is a conversation that a store said it had.
type acknowledged struct {
	owner store.Owner
	id    string
	at    time.Time
}

// crowd starts conversations in a store.
type crowd struct {
	store *Store

	mu     sync.Mutex
	acked  []acknowledged
	failed []error
	last   time.Time // when the last failure was told
}

// startsIn has callers start conversations until stop is called.
func startsIn(s *Store) (c *crowd, stop func()) {
	c = &crowd{store: s}
	ctx, cancel := context.WithCancel(context.Background())
	var callers sync.WaitGroup
	for n := range 8 {
		callers.Go(func() {
			pace := time.NewTicker(5 * time.Millisecond)
			defer pace.Stop()
			for ctx.Err() == nil {
				c.start(store.Owner{Tenant: "t", User: fmt.Sprint(n)})
				<-pace.C
			}
		})
	}
	return c, func() {
		cancel()
		callers.Wait()
	}
}

// start begins and completes one turn. A completion is made again, as the server
// does.
func (c *crowd) start(o store.Owner) {
	id := uuid.NewString()
	turn, err := c.store.BeginTurn(context.Background(), store.Begin{Owner: o, Conversation: id, New: true, Fingerprint: "f"})
	for try := 0; err == nil && try < 3; try++ {
		if err = c.store.CompleteTurn(context.Background(), turn, store.Completion{UpstreamID: "u"}); err == nil {
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failed, c.last = append(c.failed, err), time.Now()
		return
	}
	c.acked = append(c.acked, acknowledged{o, id, time.Now()})
}

// failures are the calls that failed, of how many, and when the last did.
func (c *crowd) failures() (failed []error, calls int, last time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]error{}, c.failed...), len(c.failed) + len(c.acked), c.last
}

// goes waits until so many more calls have succeeded.
func (c *crowd) goes(t *testing.T, more int) time.Duration {
	t.Helper()
	count := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.acked)
	}
	before := count()
	return eventually(t, "calls succeed", func() bool { return count() >= before+more })
}

// lost are the conversations that were acknowledged, and are not there.
func (c *crowd) lost(t *testing.T) (lost []acknowledged) {
	t.Helper()
	for _, a := range c.acked {
		_, err := c.store.Conversation(t.Context(), a.owner, a.id, store.Range{})
		if errors.Is(err, store.ErrNotFound) {
			lost = append(lost, a)
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return lost
}

// named waits until a sentinel names another primary, and returns when it did.
func named(t *testing.T, s *redistest.Sentinels, than *redistest.Node) time.Time {
	t.Helper()
	eventually(t, "another primary", func() bool { return s.Primary(t) != than })
	return time.Now()
}

// The primary is killed, or hangs: calls fail until another is promoted, and succeed
// soon after that; what was acknowledged is there.
func TestPrimaryAway(t *testing.T) {
	Slow(t)
	for name, away := range map[string]func(*redistest.Node){
		"killed": func(n *redistest.Node) { n.Kill(t) },
		"hung":   func(n *redistest.Node) { n.Stop(t) },
	} {
		t.Run(name, func(t *testing.T) {
			machine := latency.Watch(t)
			s := redistest.StartSentinel(t)
			old := s.Primary(t)
			c, stop := startsIn(openWatched(t, s))
			c.goes(t, 200)
			began := time.Now()
			away(old)
			promoted := named(t, s, old)
			c.goes(t, 1)
			up := time.Since(promoted)
			c.goes(t, 200)
			stop()
			failed, calls, last := c.failures()
			t.Logf("promoted after %v, first good answer %v later, last bad %v later; %d of %d calls failed", promoted.Sub(began), up, last.Sub(promoted), len(failed), calls)
			if up > time.Second+machine.Max() {
				t.Errorf("the first good answer came %v after the promotion", up)
			}
			// Replication is not waited for: what was acknowledged in the last moment
			// may be lost.
			for _, a := range c.lost(t) {
				if ago := began.Sub(a.at); ago > 100*time.Millisecond+machine.Max() {
					t.Errorf("a conversation is lost that was acknowledged %v before the primary was %s", ago, name)
				}
			}
		})
	}
}

// A planned failover fails no call. Sentinel promotes before it demotes, so that some
// of what the former primary acknowledges in between is lost: that is documented.
func TestPlannedFailover(t *testing.T) {
	Slow(t)
	s := redistest.StartSentinel(t)
	old := s.Primary(t)
	c, stop := startsIn(openWatched(t, s))
	c.goes(t, 200)
	told := listening(t, s.Sentinels[1])
	began := time.Now()
	s.Failover(t)
	over := time.Now()
	<-told
	c.goes(t, 200)
	stop()
	failed, calls, _ := c.failures()
	lost := c.lost(t)
	t.Logf("%d of %d calls failed, %d conversations lost", len(failed), calls, len(lost))
	if s.Primary(t) == old {
		t.Fatal("there was no failover")
	}
	for _, err := range failed {
		// A turn that was begun on the former primary is lost with it.
		if !errors.Is(err, store.ErrLost) && !errors.Is(err, store.ErrReadOnly) && !errors.Is(err, store.ErrNotReady) && !errors.Is(err, store.ErrUnreachable) {
			t.Errorf("a call failed by %v", err)
		}
	}
	for _, a := range lost {
		if a.at.Before(began.Add(-time.Second)) || a.at.After(over.Add(time.Second)) {
			t.Errorf("a conversation is lost that was acknowledged %v after the failover began", a.at.Sub(began))
		}
	}
}

// listening returns a channel that is closed when a sentinel tells of a failover.
func listening(t *testing.T, n *redistest.Node) <-chan struct{} {
	t.Helper()
	told := make(chan struct{})
	one := &sentinel{addr: n.Addr(), create: func(addr string) *goredis.Client { return goredis.NewClient(&goredis.Options{Addr: addr}) }}
	life, end := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { one.listen(life, sync.OnceFunc(func() { close(told) })) })
	t.Cleanup(func() {
		end()
		running.Wait()
	})
	// The store is listening already.
	eventually(t, "the sentinel has another listener", func() bool {
		clients, err := n.Admin.ClientList(t.Context()).Result()
		return err == nil && strings.Count(clients, "sub=2") == 2
	})
	return told
}

// The sentinels are away and the primary is well: no call fails, also when all
// connections end meanwhile.
func TestSentinelsAway(t *testing.T) {
	Slow(t)
	s := redistest.StartSentinel(t)
	primary := s.Primary(t)
	// Nothing here is to be found out by waiting.
	c, stop := startsIn(openWatched(t, s, func(o *Options) { o.Timeout = 20 * time.Second }))
	c.goes(t, 100)
	for name, faults := range map[string][]faultproxy.Fault{
		"all refuse":          {faultproxy.Refuse(), faultproxy.Refuse(), faultproxy.Refuse()},
		"all hang":            {hang, hang, hang},
		"the first two hang":  {hang, hang, {}},
		"the last two hang":   {{}, hang, hang},
		"dials to two hang":   {faultproxy.HangDials(), faultproxy.HangDials(), {}},
		"one answers garbage": {faultproxy.Answer(faultproxy.GarbageHTTP).On(faultproxy.All), hang, hang},
	} {
		for i, f := range faults {
			s.Sentinels[i].Proxy.Set(f)
			s.Sentinels[i].Proxy.KillConns(faultproxy.RST)
		}
		for range 3 {
			dialed, _ := primary.Proxy.Conns()
			primary.Proxy.KillConns(faultproxy.FIN)
			eventually(t, "calls are on new connections", func() bool { now, _ := primary.Proxy.Conns(); return now > dialed })
			c.goes(t, 50)
		}
		if failed, calls, _ := c.failures(); len(failed) > 0 {
			t.Errorf("%s: %d of %d calls failed: %v", name, len(failed), calls, failed[0])
		}
		for _, n := range s.Sentinels {
			n.Proxy.Heal()
		}
	}
	stop()
	if lost := c.lost(t); len(lost) > 0 {
		t.Errorf("%d conversations are lost", len(lost))
	}
}

// hang makes a server silent on all connections.
var hang = faultproxy.BlackHole(faultproxy.Both, faultproxy.AllConns)

// Sentinels that have never told anything leave calls with their own class, at once
// after the first.
func TestSentinelsThatTellNothing(t *testing.T) {
	Slow(t)
	const password = "s3cr3t"
	machine := latency.Watch(t)
	s := redistest.StartSentinel(t, redistest.SentinelPassword(password))
	primary := s.Primary(t)
	right := func(o *Options) { o.SentinelPassword = password }
	for name, c := range map[string]struct {
		change []func(*Options)
		fault  faultproxy.Fault
		kind   error // nil for success
	}{
		"right":                    {[]func(*Options){right}, faultproxy.Fault{}, nil},
		"another name":             {[]func(*Options){right, func(o *Options) { o.SentinelMaster = "another" }}, faultproxy.Fault{}, store.ErrMisconfigured},
		"no password":              {nil, faultproxy.Fault{}, store.ErrAuth},
		"another password":         {[]func(*Options){func(o *Options) { o.SentinelPassword = "wrong" }}, faultproxy.Fault{}, store.ErrAuth},
		"all refuse":               {[]func(*Options){right}, faultproxy.Refuse(), store.ErrUnreachable},
		"all hang":                 {[]func(*Options){right}, hang, store.ErrTimeout},
		"a primary, not them":      {[]func(*Options){func(o *Options) { o.URL, o.Nodes = primary.URL(), nil }}, faultproxy.Fault{}, store.ErrMisconfigured},
		"one of them is a primary": {[]func(*Options){right, func(o *Options) { o.URL = primary.URL() }}, faultproxy.Fault{}, nil},
	} {
		for _, n := range s.Sentinels {
			n.Proxy.Set(c.fault)
		}
		watched := openWatched(t, s, c.change...)
		for i := range 5 {
			began := time.Now()
			err := watched.Ping(t.Context())
			if c.kind == nil && err != nil || c.kind != nil && !errors.Is(err, c.kind) {
				t.Errorf("%s: call %d: %v, want %v", name, i, err, c.kind)
			}
			if took := time.Since(began); i > 0 && took > time.Second+machine.Max() {
				t.Errorf("%s: call %d took %v", name, i, took)
			}
		}
		for _, n := range s.Sentinels {
			n.Proxy.Heal()
		}
		if errors.Is(c.kind, store.ErrUnreachable) || errors.Is(c.kind, store.ErrTimeout) {
			untilUp(t, watched)
		}
		if err := watched.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Close does not wait for a sentinel that hangs for as long as a call may take.
func TestCloseWithAHungSentinel(t *testing.T) {
	t.Parallel()
	machine := latency.Watch(t)
	const timeout = 20 * time.Second
	s, err := New(Options{URL: "redis://" + silent(t), Mode: ModeSentinel, SentinelMaster: "primary", Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, store.ErrTimeout) {
		t.Error(err)
	}
	began := time.Now()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > timeout/4+machine.Max() {
		t.Errorf("it took %v", took)
	}
}

// Over TLS, sentinels and what they watch are verified: one known by an address against
// the name of the options, if there is one.
func TestSentinelsOverTLS(t *testing.T) {
	Slow(t)
	certs := faultproxy.NewCertificates(t)
	s := redistest.StartSentinel(t, redistest.TLS(certs.Good))
	for name, c := range map[string]struct {
		shows  *tls.Config
		called string // TLSServerName
		reason string // "" for success
	}{
		"for the address":                {certs.Good, "", ""},
		"for another name, which is set": {certs.WrongHost, "redis.invalid", ""},
		"for another name":               {certs.WrongHost, "", "certificate is for another host"},
		"for the address, another set":   {certs.Good, "redis.invalid", "certificate is for another host"},
		"of an unknown authority":        {certs.UnknownCA, "", "certificate of an unknown authority"},
	} {
		for _, n := range slices.Concat(s.Nodes, s.Sentinels) {
			n.Proxy.SetTLS(c.shows)
		}
		w := openWatched(t, s, func(o *Options) {
			o.URL, o.RootCAs, o.TLSServerName = "rediss://"+s.Sentinels[0].Addr(), certs.Pool, c.called
		})
		err := w.Ping(t.Context())
		e, _ := errors.AsType[*store.Error](err)
		if c.reason == "" && err != nil || c.reason != "" && (!errors.Is(err, store.ErrUnreachable) || e.Reason != c.reason) {
			t.Errorf("%s: %v, want %q", name, err, c.reason)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
}
