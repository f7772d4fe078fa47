package redis

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/store/fair"
)

// client is one client of the library, and the state that it has in common with
// the clients it replaces.
type client struct {
	*goredis.Client
	*state
}

// state is what is known of Redis from the calls on a client. That of a new client
// is a closed breaker's.
type state struct {
	failures  atomic.Int32 // of the transport, in a row
	suspected atomic.Bool  // Redis itself is being asked
	unsigned  atomic.Bool  // a connection was not dialed for want of credentials
	open      atomic.Pointer[openError]

	began time.Time
	heard atomic.Int64 // when bytes of Redis came last, in ns after began; 0 for never
	// quiet is how long nothing may come for Redis to count as heard.
	quiet time.Duration

	reads   *fair.Places  // for those of large ranges
	timeout time.Duration // of one call
	process *process      // whose calls these are
}

// succeed ends a row of failures. It writes only where there is one: all calls share
// the counter.
func (s *state) succeed() {
	if s.failures.Load() != 0 {
		s.failures.Store(0)
	}
}

// hear notes that bytes of Redis came.
func (s *state) hear() { s.heard.Store(int64(time.Since(s.began))) }

// heardWithin reports whether bytes of Redis came within the last d.
func (s *state) heardWithin(d time.Duration) bool {
	last := s.heard.Load()
	return last > 0 && time.Since(s.began)-time.Duration(last) <= d
}

// clients are the client in use and its replacement. A client is replaced as a
// whole, because the library gives no other way to be rid of connections that
// lead nowhere, each of which would cost a call its whole budget.
type clients struct {
	create  func(*state) *goredis.Client // connects nothing yet
	timeout time.Duration                // of one call
	told    func(BreakerEvent)
	moved   func(reason string) // see Trace.Moved
	current atomic.Pointer[client]

	reads      *fair.Places
	process    *process
	roleUntold atomic.Bool // see Store.RoleUntold

	life     context.Context // ends with close
	end      context.CancelFunc
	mu       sync.Mutex // held to replace current, and to begin what close waits for
	retiring []*client  // replaced, and calls may still use them
	gone     Pool       // what the pools of those before them have counted
	running  sync.WaitGroup
}

func newClients(timeout time.Duration, p *process, told func(BreakerEvent), create func(*state) *goredis.Client) *clients {
	c := &clients{create: create, timeout: timeout, told: told, moved: func(string) {}, reads: fair.New(max(largeReads, runtime.GOMAXPROCS(0))), process: p}
	if told == nil {
		c.told = func(BreakerEvent) {}
	}
	c.life, c.end = context.WithCancel(context.Background())
	c.current.Store(c.fresh())
	return c
}

// fresh makes a client with a state of its own.
func (c *clients) fresh() *client {
	s := &state{began: time.Now(), quiet: min(probeTimeout, c.timeout/4), reads: c.reads, timeout: c.timeout, process: c.process}
	return &client{c.create(s), s}
}

// renew replaces a client one of whose connections turned out to be dead: when a
// Redis restarts or fails over, all are. The new client keeps the state.
func (c *clients) renew(old *client) { c.renewWithin(old, c.timeout) }

// renewWithin is renew for a client whose calls have so long to end.
func (c *clients) renewWithin(old *client, linger time.Duration) {
	if next := c.create(old.state); !c.swap(old, next, linger) {
		_ = next.Close()
	}
}

// swap puts next in the place of old, unless old was replaced already or the
// clients are closed. The state stays.
func (c *clients) swap(old *client, next *goredis.Client, linger time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.Err() != nil || !c.current.CompareAndSwap(old, &client{next, old.state}) {
		return false
	}
	c.retiring = append(c.retiring, old)
	c.running.Go(func() { c.retireWithin(old, linger) })
	return true
}

// replace puts another client, with a state of its own, in the place of the
// current one, and returns that. The caller retires it.
func (c *clients) replace(next *client) (old *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old = c.current.Swap(next)
	c.retiring = append(c.retiring, old)
	return old
}

// retire closes a client that has been replaced, once the calls that began on it
// must have ended.
func (c *clients) retire(old *client) { c.retireWithin(old, c.timeout) }

// retireWithin closes it after so long. Calls that this ends still count what they
// waited for.
func (c *clients) retireWithin(old *client, linger time.Duration) {
	c.wait(linger)
	_ = old.Close()
	c.wait(c.timeout - linger)
	c.settle(old)
}

// wait returns after d, or at close.
func (c *clients) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.life.Done():
	}
}

// close ends all that runs in the background and closes the current client.
func (c *clients) close() error {
	c.mu.Lock()
	c.end()
	c.mu.Unlock()
	c.running.Wait()
	return c.current.Load().Close()
}
