// Package agenttest is the emulated agent on a port of its own, for tests that need
// it to wait, to misbehave or to go away at a moment of their choice.
package agenttest

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"parley/contracttest/ports"
	"parley/server/copilot/emulator"
)

// readTimeout bounds how long the headers of a request may take.
const readTimeout = 10 * time.Second

// Agent is an emulated agent that can be made to wait before it answers,
// to misbehave, and to go away.
type Agent struct {
	*emulator.Emulator
	tb   testing.TB
	addr string
	web  *http.Server

	mu      sync.Mutex
	command string // of the emulator, for everything that is asked; "" for none
	barrier *barrier
	held    int // requests that wait at one
}

// barrier holds requests back. The first to come closes arrived.
type barrier struct {
	once          sync.Once
	arrived, open chan struct{}
}

// Start starts one. It ends with the test.
func Start(tb testing.TB) *Agent {
	tb.Helper()
	a := &Agent{tb: tb, addr: ports.Of(tb).Addr} // its own also while nobody listens there
	a.Emulator = emulator.New(emulator.Options{Script: func(emulator.Request) string {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.command
	}})
	a.Restart()
	tb.Cleanup(func() {
		a.Release()
		a.Stop()
	})
	return a
}

// Restart listens again after Stop, at the same address.
func (a *Agent) Restart() {
	l, err := (&net.ListenConfig{}).Listen(context.WithoutCancel(a.tb.Context()), "tcp", a.addr)
	if err != nil {
		a.tb.Fatalf("the agent cannot listen: %v", err)
	}
	web := &http.Server{Handler: a, ReadHeaderTimeout: readTimeout}
	a.web = web
	go func() { _ = web.Serve(l) }() // ends with Stop
}

// Stop closes the listener and all connections.
func (a *Agent) Stop() { _ = a.web.Close() }

// URL is where it is asked. Any token is accepted there.
func (a *Agent) URL() string { return "http://" + a.addr + "/agent" }

// CloseConnections makes it close each connection after its next answer: on one that
// is left open and just being closed, nobody could tell whether a request still came
// through.
func (a *Agent) CloseConnections() { a.web.SetKeepAlivesEnabled(false) }

// Misbehave makes it answer everything as if it had been told that command.
func (a *Agent) Misbehave(command string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.command = command
}

// ServeHTTP implements http.Handler.
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	b := a.barrier
	if b != nil {
		a.held++
	}
	a.mu.Unlock()
	if b != nil {
		b.once.Do(func() { close(b.arrived) })
		<-b.open
		a.mu.Lock()
		a.held--
		a.mu.Unlock()
	}
	a.Emulator.ServeHTTP(w, r)
}

// Hold makes requests wait from now on. The channel is closed when the first is
// there.
func (a *Agent) Hold() (arrived <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.barrier = &barrier{arrived: make(chan struct{}), open: make(chan struct{})}
	return a.barrier.arrived
}

// Held is how many requests wait now.
func (a *Agent) Held() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.held
}

// Release lets them go on.
func (a *Agent) Release() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.barrier != nil {
		close(a.barrier.open)
		a.barrier = nil
	}
}

// Count is how often it was asked.
func (a *Agent) Count() int { return len(a.Requests()) }

// Untrusted serves over TLS with a certificate that nobody trusts.
func Untrusted(tb testing.TB) (url string) {
	tb.Helper()
	web := httptest.NewUnstartedServer(http.NotFoundHandler())
	web.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	web.Config.ErrorLog = log.New(io.Discard, "", 0) // clients are meant to hang up
	web.StartTLS()
	tb.Cleanup(web.Close)
	return web.URL + "/agent"
}
