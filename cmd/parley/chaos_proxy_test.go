package main

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"
)

// wire is the way from one replica to Redis, which can be cut, held up and
// slowed down.
type wire struct {
	listener net.Listener
	upstream string
	ended    sync.WaitGroup

	mu      sync.Mutex
	conns   map[net.Conn]bool
	refuses bool
	delay   time.Duration // of everything that passes
	held    chan struct{} // closed when what passes may pass; nil when it may
	closed  bool
}

func newWire(t *testing.T, upstream string) *wire {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, upstream: upstream, conns: map[net.Conn]bool{}}
	w.ended.Go(w.accept)
	t.Cleanup(func() {
		w.heal()
		w.mu.Lock()
		w.closed = true
		w.mu.Unlock()
		_ = l.Close()
		w.cut()
		w.ended.Wait()
	})
	return w
}

func (w *wire) addr() string { return w.listener.Addr().String() }

func (w *wire) accept() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.mu.Lock()
		refuses := w.refuses
		w.mu.Unlock()
		if refuses {
			_ = near.Close()
			continue
		}
		far, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "tcp", w.upstream)
		if err != nil || !w.keep(near, far) {
			_ = near.Close()
			continue
		}
		w.ended.Go(func() { w.copy(far, near) })
		w.ended.Go(func() { w.copy(near, far) })
	}
}

func (w *wire) keep(near, far net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		_ = far.Close()
		return false
	}
	w.conns[near], w.conns[far] = true, true
	return true
}

func (w *wire) copy(to, from net.Conn) {
	defer func() {
		w.mu.Lock()
		delete(w.conns, to)
		delete(w.conns, from)
		w.mu.Unlock()
		_, _ = to.Close(), from.Close()
	}()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		w.mu.Lock()
		held, delay := w.held, w.delay
		w.mu.Unlock()
		if held != nil {
			<-held
		}
		if delay > 0 {
			time.Sleep(delay)
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

// cut ends every connection, so that what was under way is lost or answered to
// nobody.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		_ = c.Close()
	}
}

func (w *wire) refuse() {
	w.mu.Lock()
	w.refuses = true
	w.mu.Unlock()
	w.cut()
}

func (w *wire) hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held == nil {
		w.held = make(chan struct{})
	}
}

func (w *wire) slow(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delay = d
}

func (w *wire) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refuses, w.delay = false, 0
	if w.held != nil {
		close(w.held)
		w.held = nil
	}
}
