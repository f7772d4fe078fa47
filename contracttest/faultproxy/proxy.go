// Package faultproxy is a TCP proxy for tests that stands in front of a Redis,
// understands RESP, and brings about on command what can go wrong in between. A
// proxy without a fault passes on everything as it is.
//
//	p := faultproxy.Start(t, redis.Addr())
//	p.Set(faultproxy.CutAfter(faultproxy.RST).On(faultproxy.Scripts(sha)).Next(1))
//	…
//	p.Heal()
//
// Commands and replies are paired by their order, as the protocol has it, so
// that a fault can hit one command of a pipeline, and what really ran can be
// counted. Pushes of RESP 3 pass. What answers a command with no reply or many,
// SUBSCRIBE of RESP 2, MONITOR and CLIENT REPLY, does not work through it. A
// command or a reply of more than 16 MiB ends its connection.
package faultproxy

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy is a running proxy. It is safe for use from many goroutines.
type Proxy struct {
	tb       testing.TB
	entrance *entrance
	recorder recorder
	upstream atomic.Pointer[string]
	tls      atomic.Pointer[tls.Config]
	fault    atomic.Pointer[active]

	ctx   context.Context // of everything that waits; ends with Close
	stop  context.CancelFunc
	tasks sync.WaitGroup // of connections

	setting sync.Mutex // held while the fault changes
	closed  bool       // guarded by setting

	mu     sync.Mutex
	conns  map[*conn]struct{} // that are not over yet
	opened int                // so far
	open   int                // of conns, those that neither side has ended
}

// Option is a setting of a Proxy.
type Option func(*Proxy)

// WithTLS has the proxy speak TLS to clients, and plain TCP to Redis all the same.
func WithTLS(c *tls.Config) Option { return func(p *Proxy) { p.SetTLS(c) } }

// Start starts a proxy in front of the Redis at upstream (host:port), on a free
// port of 127.0.0.1. It is closed when the test ends.
func Start(tb testing.TB, upstream string, opts ...Option) *Proxy {
	tb.Helper()
	p := &Proxy{tb: tb, conns: map[*conn]struct{}{}}
	// Not the test's own context: that ends before the test's cleanups, which
	// may want to close a client properly.
	p.ctx, p.stop = context.WithCancel(context.WithoutCancel(tb.Context()))
	p.upstream.Store(&upstream)
	p.fault.Store(&active{ended: make(chan struct{})})
	for _, o := range opts {
		o(p)
	}
	entrance, err := newEntrance(p.ctx, p.accept, func(err error) { tb.Errorf("the proxy listens no more: %v", err) })
	if err != nil {
		tb.Fatalf("start a proxy: %v", err)
	}
	p.entrance = entrance
	tb.Cleanup(p.Close)
	return p
}

// Addr is where the proxy listens, as host:port. It stays the same when the
// proxy refuses for a while.
func (p *Proxy) Addr() string { return p.entrance.addr }

// Set puts a fault in the place of the one there is. It holds for the next
// command and the next connection; commands that are on their way keep the fault
// they met. What waits because of the former fault goes on.
func (p *Proxy) Set(f Fault) {
	p.tb.Helper()
	p.setting.Lock()
	defer p.setting.Unlock()
	if p.closed {
		return
	}
	p.mu.Lock()
	former := p.fault.Swap(&active{Fault: f, boundary: p.opened, ended: make(chan struct{})})
	p.mu.Unlock()
	close(former.ended)
	if err := p.entrance.set(f.door); err != nil {
		p.tb.Errorf("change how the proxy listens: %v", err)
	}
	if f.door == shut {
		p.KillConns(RST)
	}
}

// Heal removes the fault and opens every gate. What waits goes on.
func (p *Proxy) Heal() {
	p.tb.Helper()
	p.Set(Fault{})
	p.recorder.release()
}

// KillConns ends all connections there are, idle or not. New ones work.
func (p *Proxy) KillConns(h How) {
	for _, c := range p.all() {
		c.cut(h)
	}
}

// SetUpstream connects new connections to another Redis (host:port). Those there
// are keep theirs.
func (p *Proxy) SetUpstream(addr string) { p.upstream.Store(&addr) }

// SetTLS has the proxy speak TLS on new connections, with this certificate, or
// plain TCP if it is nil.
func (p *Proxy) SetTLS(c *tls.Config) { p.tls.Store(c) }

// Conns is how many connections were accepted so far, and how many of them
// neither side has ended.
func (p *Proxy) Conns() (opened, open int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opened, p.open
}

// Close ends all connections and stops listening, and returns when nothing of
// the proxy runs any more. Only the first call does anything.
func (p *Proxy) Close() {
	p.setting.Lock()
	defer p.setting.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	p.stop()
	p.entrance.close()
	for _, c := range p.all() {
		c.kill()
	}
	p.tasks.Wait()
	p.recorder.close()
}

func (p *Proxy) all() []*conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]*conn, 0, len(p.conns))
	for c := range p.conns {
		all = append(all, c)
	}
	return all
}

// accept takes a new connection. It does not wait for anything, so that one
// connection cannot keep the next one out.
func (p *Proxy) accept(raw *net.TCPConn) {
	p.mu.Lock()
	p.opened++
	p.open++
	c := newConn(p, raw, p.opened)
	p.conns[c] = struct{}{}
	p.mu.Unlock()
	if how := p.fault.Load().accept; how != nil {
		c.cut(*how)
	}
	p.tasks.Go(func() {
		c.run()
		p.mu.Lock()
		delete(p.conns, c)
		p.mu.Unlock()
	})
}

// left is called once for each connection, when one of its sides ends it.
func (p *Proxy) left() {
	p.mu.Lock()
	p.open--
	p.mu.Unlock()
}
