// Package faultproxy is a TCP proxy for tests. It stands in front of a Redis, parses
// RESP, and injects faults. Without a fault it forwards everything unchanged.
//
//	p := faultproxy.Start(t, redis.Addr())
//	p.Set(faultproxy.CutAfter(faultproxy.RST).On(faultproxy.Scripts(sha)).Next(1))
//	…
//	p.Heal()
//
// Commands and replies are matched by their order, as the protocol defines it. So a
// fault can hit one command of a pipeline, and executed commands can be counted.
// Pushes of RESP 3 are forwarded. Commands that have no reply or several (SUBSCRIBE of
// RESP 2, MONITOR, CLIENT REPLY) are not supported. A command or reply of more than
// 16 MiB closes its connection.
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

	ctx   context.Context // ends with Close
	stop  context.CancelFunc
	tasks sync.WaitGroup // of connections

	setting sync.Mutex // held while the fault changes
	closed  bool       // guarded by setting

	mu     sync.Mutex
	conns  map[*conn]struct{} // whose goroutines still run
	opened int                // accepted so far
	open   int                // of conns, those that neither side has closed
}

// Option is a setting of a Proxy.
type Option func(*Proxy)

// WithTLS makes the proxy speak TLS to clients. It speaks plain TCP to Redis.
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
	entrance, err := newEntrance(p.ctx, p.accept, func(err error) { tb.Errorf("the proxy stopped listening: %v", err) })
	if err != nil {
		tb.Fatalf("start a proxy: %v", err)
	}
	p.entrance = entrance
	tb.Cleanup(p.Close)
	return p
}

// Addr is the address of the proxy, as host:port. It stays the same through Refuse
// and Heal.
func (p *Proxy) Addr() string { return p.entrance.addr }

// Set replaces the fault. The new one applies to later commands and connections; a
// command that was already hit keeps its fault. Whatever the old fault delayed goes on.
func (p *Proxy) Set(f Fault) {
	p.tb.Helper()
	p.setting.Lock()
	defer p.setting.Unlock()
	if p.closed {
		return
	}
	if f.door == shut { // first, or what the former fault holds back is answered in between
		p.setDoor(f.door)
		p.KillConns(RST)
	}
	p.mu.Lock()
	former := p.fault.Swap(&active{Fault: f, boundary: p.opened, ended: make(chan struct{})})
	p.mu.Unlock()
	close(former.ended)
	if f.door != shut {
		p.setDoor(f.door)
	} else { // those that were being accepted when it was shut
		p.KillConns(RST)
	}
}

func (p *Proxy) setDoor(d door) {
	if err := p.entrance.set(d); err != nil {
		p.tb.Errorf("change how the proxy listens: %v", err)
	}
}

// Heal removes the fault and opens every gate. Whatever they delayed goes on.
func (p *Proxy) Heal() {
	p.tb.Helper()
	p.Set(Fault{})
	p.recorder.release()
}

// KillConns closes all open connections, idle or not. New ones work.
func (p *Proxy) KillConns(h How) {
	for _, c := range p.all() {
		c.cut(h)
	}
}

// SetUpstream makes new connections go to another Redis (host:port). Open ones stay
// where they are.
func (p *Proxy) SetUpstream(addr string) { p.upstream.Store(&addr) }

// SetTLS makes the proxy speak TLS on new connections, with this certificate, or plain
// TCP if it is nil.
func (p *Proxy) SetTLS(c *tls.Config) { p.tls.Store(c) }

// Conns returns how many connections were accepted so far, and how many of them
// neither side has closed.
func (p *Proxy) Conns() (opened, open int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opened, p.open
}

// Close stops listening, closes all connections, and waits until all goroutines of the
// proxy have ended. Later calls do nothing.
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

// accept takes a new connection. It does not block, so one connection cannot delay the
// next.
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

// left is called once for each connection, when one of its sides closes it.
func (p *Proxy) left() {
	p.mu.Lock()
	p.open--
	p.mu.Unlock()
}
