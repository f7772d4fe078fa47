package redis

import (
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// Pool is how the connections of a Store are at one moment.
type Pool struct {
	Used, Idle, Pending int
	Max, IdleMin        int
	// Since the store was made.
	Timeouts, Waits int
	Waited          time.Duration
}

// add is the sum of two pools.
func (p Pool) add(q Pool) Pool {
	return Pool{
		Used: p.Used + q.Used, Idle: p.Idle + q.Idle, Pending: p.Pending + q.Pending,
		Max: p.Max + q.Max, IdleMin: p.IdleMin + q.IdleMin,
		Timeouts: p.Timeouts + q.Timeouts, Waits: p.Waits + q.Waits, Waited: p.Waited + q.Waited,
	}
}

// Pool asks for the state of the connections, of all primaries together.
func (s *Store) Pool() Pool { return s.topology.pool() }

func (n *node) pool() Pool {
	client := n.current.Load().Client
	p, o := client.PoolStats(), client.Options()
	return n.totals.add(client, Pool{
		Used: max(0, int(p.TotalConns)-int(p.IdleConns)), Idle: int(p.IdleConns), Pending: int(p.PendingRequests),
		Max: o.PoolSize, IdleMin: o.MinIdleConns,
		Timeouts: int(p.Timeouts), Waits: int(p.WaitCount), Waited: time.Duration(p.WaitDurationNs),
	})
}

// totals carry what a pool has counted over to the one that takes its place, so
// that no count ever goes back. What a pool counted after it was last asked, and
// before it was replaced, is not in them.
type totals struct {
	mu           sync.Mutex
	client       *goredis.Client
	before, last Pool
}

func (t *totals) add(client *goredis.Client, p Pool) Pool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.client != client {
		t.before.Timeouts += t.last.Timeouts
		t.before.Waits += t.last.Waits
		t.before.Waited += t.last.Waited
		t.client = client
	}
	t.last = p
	p.Timeouts += t.before.Timeouts
	p.Waits += t.before.Waits
	p.Waited += t.before.Waited
	return p
}

// BreakerOpen reports whether calls, to any primary, fail without being tried,
// because Redis did not answer the last ones.
func (s *Store) BreakerOpen() bool { return slices.Contains(s.BreakersOpen(), true) }

// BreakersOpen reports that of each primary, by the number that BreakerEvent.Shard
// gives it. It has none while nobody knows the primaries.
func (s *Store) BreakersOpen() []bool {
	var open []bool
	for _, n := range s.topology.nodes() {
		open = append(open, n.current.Load().open.Load() != nil)
	}
	return open
}

// Address says where the server is that the URL names, and which of its databases is
// used.
func (s *Store) Address() (host string, port int, database string) {
	host, p, err := net.SplitHostPort(s.addr)
	if err != nil {
		return s.addr, 0, s.database
	}
	port, _ = strconv.Atoi(p) // 0 for a service's name, which is as good as unknown
	return host, port, s.database
}
