package redis

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/contracttest/redistest"
	"parley/store"
)

// What a pool has counted is in the sum, however and whenever its client is exchanged:
// also what nobody asked for before, and what calls count that began on the client. No
// count ever goes back.
func TestPoolCountsEverything(t *testing.T) {
	t.Parallel()
	url := redistest.Start(t).URL()
	const callers = 8
	for what, exchange := range map[string]func(n *node){
		"no exchange":              func(*node) {},
		"a connection was dead":    func(n *node) { n.renew(n.current.Load()) },
		"the primary has moved":    (*node).move,
		"a replica was left":       func(n *node) { n.swap(n.current.Load(), n.create(n.current.Load().state), n.timeout) },
		"the breaker has closed":   func(n *node) { old := n.replace(n.fresh()); n.running.Go(func() { n.retire(old) }) },
		"several, one upon other":  func(n *node) { n.renew(n.current.Load()); n.move(); n.move() },
		"one that is never needed": func(n *node) { n.renew(&client{}) },
	} {
		for when, after := range map[string]bool{"while they wait": false, "when they have waited": true} {
			t.Run(what+" "+when, func(t *testing.T) {
				t.Parallel()
				s := newStore(t, url, timeout)
				n := s.one()
				holdAll(t, n)
				watch := watchPool(t, s)
				var waiting sync.WaitGroup
				var inVain atomic.Int64 // calls that waited for a connection to the end
				for range callers {
					waiting.Go(func() {
						err := s.do(t.Context(), owner, "List", func(ctx context.Context, c *client) error { return c.Get(ctx, "none").Err() })
						e, ok := errors.AsType[*store.Error](err)
						if !ok {
							t.Errorf("%v, want a call without a connection", err)
						} else if noConnection(e.Cause) { // else this process stood still until the call's own end
							inVain.Add(1)
						}
					})
				}
				eventually(t, "all of them wait", func() bool { return s.Pool().Pending == callers })
				if !after {
					exchange(n)
				}
				waiting.Wait()
				if after {
					exchange(n)
				}
				watch.has(int(inVain.Load()), timeout/2)
				eventually(t, "the clients are settled", func() bool { n.mu.Lock(); defer n.mu.Unlock(); return len(n.retiring) == 0 })
				watch.has(int(inVain.Load()), timeout/2)
			})
		}
	}
}

// holdAll takes all connections of a node until the end of the test.
func holdAll(t *testing.T, n *node) {
	t.Helper()
	rdb := n.current.Load().Client
	for range rdb.Options().PoolSize {
		conn := rdb.Conn()
		if err := conn.Ping(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
}

// poolWatch asks for the counts of a pool as often as it can, and fails the test when
// one goes back.
type poolWatch struct {
	t    *testing.T
	s    *Store
	mu   sync.Mutex
	last Pool
}

func watchPool(t *testing.T, s *Store) *poolWatch {
	t.Helper()
	w := &poolWatch{t: t, s: s}
	ctx, stop := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	asking.Go(func() {
		for tick := time.Tick(time.Millisecond); ctx.Err() == nil; <-tick {
			w.ask()
		}
	})
	t.Cleanup(func() { stop(); asking.Wait() })
	return w
}

func (w *poolWatch) ask() Pool {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.s.Pool()
	if p.Timeouts < w.last.Timeouts || p.Waits < w.last.Waits || p.Waited < w.last.Waited {
		w.t.Errorf("a count went back: %+v after %+v", p, w.last)
	}
	w.last = p
	return p
}

// has checks that so many calls waited in vain, each for so long.
func (w *poolWatch) has(calls int, each time.Duration) {
	w.t.Helper()
	if p := w.ask(); p.Timeouts != calls || p.Waits != calls || p.Waited < time.Duration(calls)*each {
		w.t.Errorf("%+v, want %d calls that waited %v in vain", p, calls, each)
	}
}

// What the nodes of a cluster have counted that leave the map stays counted, and so does
// what calls count there afterwards.
func TestCountsOfANodeThatLeft(t *testing.T) {
	t.Parallel()
	nodes := startScripted(t, 2)
	s := clusterOf(t, timeout, nodes[0])
	if err := get(t.Context(), s, owner); err != nil {
		t.Fatal(err)
	}
	left, watch := s.one(), watchPool(t, s)
	count := func() {
		left.mu.Lock()
		defer left.mu.Unlock()
		left.gone = left.gone.add(Pool{Timeouts: 1000, Waits: 2000, Waited: time.Hour})
	}
	check := func(times int) {
		t.Helper()
		if p := watch.ask(); p.Timeouts != times*1000 || p.Waits != times*2000 || p.Waited < time.Duration(times)*time.Hour {
			t.Errorf("%+v, want what was counted %d times", p, times)
		}
	}
	count()
	check(1)
	for _, n := range nodes {
		n.tells(slotsReply(nodes[1].addr))
	}
	c := s.topology.(*cluster)
	eventually(t, "the map is made anew", func() bool { c.doubt(); return s.one() != left })
	check(1)
	count()
	check(2)
	eventually(t, "the node is closed", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.leaving) == 0 })
	check(2)
}
