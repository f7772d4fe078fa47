package main

import (
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// newWeb makes the HTTP server, with a time limit on every step of a client. The
// handlers set the limits for reading an answer, because no one limit fits a stream.
//
// Proxies may use HTTP/2 without TLS, with prior knowledge (RFC 9113, section 3.3): a
// stream then needs no connection of its own. Upgrades from HTTP/1.1 are not
// supported, because they have been used to smuggle requests past proxies.
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

// connections bounds the open connections. Further ones are closed at once, not left
// waiting, so that a load balancer sees immediately that there is no room.
//
// It also tracks connections without a request. Browsers open some in advance, and at
// shutdown net/http would wait five seconds for a first request on each.
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
		_ = conn.Close() // the server notices and reports it here
		return
	}
	c.unused[conn] = true
}

// closeUnused closes connections without a request, and all that come later.
func (c *connections) closeUnused() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for conn := range c.unused {
		_ = conn.Close()
	}
}
