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
//
// Proxies may speak HTTP/2 to it without TLS: a stream then costs neither a
// connection nor its buffers. Clients begin with it (RFC 9113, section 3.3); there
// is no upgrade, which has been used to smuggle requests past proxies.
func newWeb(handler http.Handler, maxConnections int, log *slog.Logger) (*http.Server, *connections) {
	conns := &connections{limit: maxConnections, unused: map[net.Conn]bool{}}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Protocols: &protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 250, MaxReadFrameSize: 16 << 10,
			MaxReceiveBufferPerConnection: 128 << 10, MaxReceiveBufferPerStream: 64 << 10,
			SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second, WriteByteTimeout: 20 * time.Second,
		},
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
