package redis

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// node is one primary: a breaker of its own and, behind that, a pool of its own.
type node struct {
	breaker
	addr   string // host:port
	signIn signIn
	shard  atomic.Int32 // see BreakerEvent.Shard
	// doubt is told of each error of a call that may come from an old map.
	doubt func(error)
	led   time.Time // when a redirect led here last; the cluster's mu guards it
}

// dialFunc opens a connection, TLS included.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// maker makes nodes, which differ in where they are and in how one gets there.
type maker struct {
	opt     goredis.Options // of every client; without Addr and Dialer
	timeout time.Duration
	trace   Trace
	process *process
	signIn  signIn
	hook    *tracer // nil if nobody wants to know
}

// node makes a node. It connects to nothing yet. The hook is before all that the node
// sends; nil for none.
func (m *maker) node(addr string, dial dialFunc, hook func(*node) goredis.Hook) *node {
	n := &node{addr: addr, signIn: m.signIn, doubt: func(error) {}}
	n.breaker = breaker{newClients(m.timeout, m.process, n.telling(m.trace.Breaker), func(st *state) *goredis.Client {
		own := m.opt
		own.Addr, own.Dialer = addr, m.signIn.dialer(st, followed(st, dial))
		rdb := goredis.NewClient(&own)
		if hook != nil {
			rdb.AddHook(hook(n))
		}
		if m.hook != nil {
			rdb.AddHook(m.hook.of(&client{rdb, st}))
		}
		return rdb
	})}
	if m.trace.Moved != nil {
		n.moved = m.trace.Moved
	}
	return n
}

// telling says of each event which node's it is.
func (n *node) telling(told func(BreakerEvent)) func(BreakerEvent) {
	if told == nil {
		return nil
	}
	return func(e BreakerEvent) {
		e.Shard = int(n.shard.Load())
		told(e)
	}
}

// moveLinger is how long calls have to end that are on their way to a server which is
// the primary no more. If it hangs they would wait for all of their time.
const moveLinger = 250 * time.Millisecond

// move has a node's connections go where its dialer finds its primary now.
func (n *node) move() { n.renewWithin(n.current.Load(), moveLinger) }
