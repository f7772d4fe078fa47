package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"parley/server/turn"
)

// newWeb makes the HTTP server, with a time limit on every step of a client. The
// handlers set the limits for reading an answer, because no one limit fits a stream.
//
// Proxies may use HTTP/2 without TLS, with prior knowledge (RFC 9113, section 3.3): a
// stream then needs no connection of its own. Upgrades from HTTP/1.1 are not
// supported, because they have been used to smuggle requests past proxies.
func newWeb(handler http.Handler, maxConnections int, log *slog.Logger) (*http.Server, *connections) {
	conns := &connections{limit: maxConnections, log: log, unused: map[net.Conn]bool{}}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Protocols: &protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 250, MaxReadFrameSize: 16 << 10,
			MaxReceiveBufferPerConnection: 64 << 10, MaxReceiveBufferPerStream: 64 << 10,
			SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second, WriteByteTimeout: 20 * time.Second,
		},
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
		IdleTimeout: 120 * time.Second, MaxHeaderBytes: 64 << 10,
		ErrorLog:  slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ConnState: conns.track,
	}, conns
}

// contained ends a request with a cut connection and one line in the log when a panic
// leaves its handler. net/http would log the panic's text, which can be a user's, and
// the client's address. It stands inside of the request's span, so that the line has
// its trace.
func contained(next http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch v := recover(); v {
			case nil:
			case http.ErrAbortHandler:
				panic(v)
			default:
				p := turn.NewPanicError(v)
				log.LogAttrs(r.Context(), slog.LevelError, "a request's handler panicked", append(turn.Exception(p), slog.String("error", p.Error()))...)
				panic(http.ErrAbortHandler)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// connections bounds the open connections. Further ones are closed at once, not left
// waiting, so that a load balancer sees immediately that there is no room.
//
// It also tracks connections without a request. Browsers open some in advance, and at
// shutdown net/http would wait five seconds for a first request on each.
type connections struct {
	limit int
	log   *slog.Logger

	mu      sync.Mutex
	open    int
	refused int64
	unused  map[net.Conn]bool
	closed  bool
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
		if !c.closed {
			c.refused++
		}
		return
	}
	c.unused[conn] = true
}

// count gives how many connections are open, and how many were refused so far.
func (c *connections) count() (open, refused int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int64(c.open), c.refused
}

// tellEvery is the least time between two lines about refused connections, and
// tellAfter how soon the first follows.
const (
	tellEvery = time.Minute
	tellAfter = time.Second
)

// tell logs, at most once a minute until ctx is done, that connections were refused.
func (c *connections) tell(ctx context.Context) {
	look := time.NewTicker(tellAfter)
	defer look.Stop()
	told, last := int64(0), time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		open, refused := c.count()
		if refused == told || !last.IsZero() && time.Since(last) < tellEvery {
			continue
		}
		c.log.LogAttrs(ctx, slog.LevelWarn, "connections are refused: as many are open as may be (MAX_CONNECTIONS)",
			slog.Int64("open", open), slog.Int("limit", c.limit), slog.Int64("refused", refused-told))
		told, last = refused, time.Now()
	}
}

// connectionLimit leaves half of the files that this process may open to the agent
// and Redis: each turn needs a connection to the one or both.
func connectionLimit(setting int) int {
	half := maxFiles() / 2
	if half >= uint64(setting) { //nolint:gosec // a setting is positive
		return setting
	}
	return max(1, int(half)) //nolint:gosec // less than a setting
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
