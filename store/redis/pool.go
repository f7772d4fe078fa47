package redis

import (
	"net"
	"slices"
	"strconv"
	"time"
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
	client, sum := n.counted()
	p, o := client.PoolStats(), client.Options()
	sum.Used, sum.Idle = max(0, int(p.TotalConns)-int(p.IdleConns)), int(p.IdleConns)
	sum.Pending, sum.Max, sum.IdleMin = int(p.PendingRequests), o.PoolSize, o.MinIdleConns
	return sum
}

// counted is the client in use, and what the pools of all clients have counted, those
// that were replaced included: no count ever goes back, and none is lost.
func (c *clients) counted() (current *client, sum Pool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	current = c.current.Load()
	sum = c.gone.add(countedBy(current))
	for _, old := range c.retiring {
		sum = sum.add(countedBy(old))
	}
	return current, sum
}

// countedBy is what the pool of one client has counted. The library counts a wait, and
// its time, only if there was a connection at its end.
func countedBy(c *client) Pool {
	p := c.PoolStats()
	return Pool{
		Timeouts: int(p.Timeouts), Waits: int(p.WaitCount) + int(p.Timeouts),
		Waited: time.Duration(p.WaitDurationNs) + time.Duration(p.Timeouts)*c.Options().PoolTimeout,
	}
}

// settle is called when no call uses a replaced client any more: what its pool has
// counted is final.
func (c *clients) settle(old *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = c.gone.add(countedBy(old))
	c.retiring = slices.DeleteFunc(c.retiring, func(other *client) bool { return other == old })
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
