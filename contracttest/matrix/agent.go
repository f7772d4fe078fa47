package matrix

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"parley/server/copilot/emulator"
)

// heldAgent is an emulated agent that can be made to wait before it answers,
// to misbehave, and to go away.
type heldAgent struct {
	*emulator.Emulator
	tb   testing.TB
	addr string
	url  string
	web  *http.Server

	mu      sync.Mutex
	command string // of the emulator, for everything that is asked; "" for none
	barrier *barrier
}

// barrier holds requests back. The first to come closes arrived.
type barrier struct {
	once          sync.Once
	arrived, open chan struct{}
}

func newAgent(tb testing.TB) *heldAgent {
	tb.Helper()
	a := &heldAgent{tb: tb, addr: "127.0.0.1:0"}
	a.Emulator = emulator.New(emulator.Options{Script: func(emulator.Request) string {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.command
	}})
	a.start()
	a.url = "http://" + a.addr + "/agent"
	tb.Cleanup(func() {
		a.release()
		a.stop()
	})
	return a
}

// start listens, the second time at the same address as the first.
func (a *heldAgent) start() {
	l, err := (&net.ListenConfig{}).Listen(context.WithoutCancel(a.tb.Context()), "tcp", a.addr)
	if err != nil {
		a.tb.Fatalf("the agent cannot listen: %v", err)
	}
	a.addr = l.Addr().String()
	web := &http.Server{Handler: a, ReadHeaderTimeout: Timeout}
	a.web = web
	go func() { _ = web.Serve(l) }() // ends with stop
}

// stop closes the listener and all connections.
func (a *heldAgent) stop() { _ = a.web.Close() }

// misbehave makes it answer everything as if it had been told that command.
func (a *heldAgent) misbehave(command string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.command = command
}

// ServeHTTP implements http.Handler.
func (a *heldAgent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	b := a.barrier
	a.mu.Unlock()
	if b != nil {
		b.once.Do(func() { close(b.arrived) })
		<-b.open
	}
	a.Emulator.ServeHTTP(w, r)
}

// hold makes requests wait from now on. The channel is closed when the first is
// there.
func (a *heldAgent) hold() (arrived <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.barrier = &barrier{arrived: make(chan struct{}), open: make(chan struct{})}
	return a.barrier.arrived
}

// release lets them go on.
func (a *heldAgent) release() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.barrier != nil {
		close(a.barrier.open)
		a.barrier = nil
	}
}

// count is how often it was asked.
func (a *heldAgent) count() int { return len(a.Requests()) }

// untrusted serves over TLS with a certificate that nobody trusts.
func untrusted(tb testing.TB) (url string) {
	tb.Helper()
	web := httptest.NewUnstartedServer(http.NotFoundHandler())
	web.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	web.Config.ErrorLog = silent()
	web.StartTLS()
	tb.Cleanup(web.Close)
	return web.URL + "/agent"
}
