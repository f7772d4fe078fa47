package main

import (
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// newWeb makes the HTTP server, with a limit on everything that a client could
// take its time with. What it may take to read an answer is the handler's to say:
// a turn has no limit that would suit all.
func newWeb(handler http.Handler, maxConnections int, log *slog.Logger) (*http.Server, *connections) {
	conns := &connections{limit: maxConnections, unused: map[net.Conn]bool{}}
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
		IdleTimeout: 120 * time.Second, MaxHeaderBytes: 64 << 10,
		ErrorLog:  slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ConnState: conns.track,
	}, conns
}

// connections keeps so many connections open and no more. The next are closed as
// they come, not left waiting: whoever shares the load should hear at once that
// there is no room.
//
// It also knows on which of them nothing was asked yet. Browsers and other clients
// open some in advance; net/http waits five seconds at shutdown for each to ask
// something after all.
type connections struct {
	limit int

	mu     sync.Mutex
	open   int
	unused map[net.Conn]bool
	closed bool
}

// track is for http.Server.ConnState.
func (c *connections) track(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state != http.StateNew {
		delete(c.unused, conn)
		if state == http.StateClosed || state == http.StateHijacked {
			c.open--
		}
		return
	}
	if c.open++; c.closed || c.open > c.limit {
		_ = conn.Close() // which the server finds out, and says so here
		return
	}
	c.unused[conn] = true
}

// closeUnused closes those on which nothing was asked, and all that come later.
func (c *connections) closeUnused() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for conn := range c.unused {
		_ = conn.Close()
	}
}
