package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// largeCall is from how many bytes on a command may be slow for its size.
const largeCall = 256 << 10

// exchange counts the bytes of a command, or a pipeline, and its reply, on one
// connection. The library has one at a time on it, so nothing is locked.
type exchange struct {
	state          *state // hears what comes; nil if nobody wants to know
	sent, received int    // so far
	began          time.Time
	looked         bool // for what came when it was out of time
}

// stalledError says that a connection carried so much of an exchange, and no more
// in time.
type stalledError struct {
	error
	sent, received int
	waited         time.Duration // since the command began to be sent
}

func (e *stalledError) Unwrap() error { return e.error }

// Timeout is what the library asks of a net.Error.
func (e *stalledError) Timeout() bool { return true }

// Temporary completes net.Error.
func (e *stalledError) Temporary() bool { return true }

var _ net.Error = (*stalledError)(nil)

// reason says which it was, with the size.
func (e *stalledError) reason() string {
	switch {
	case e.received > 0:
		return fmt.Sprintf("the reply was still coming: %d bytes sent, %d bytes received", e.sent, e.received)
	case e.sent >= largeCall:
		return fmt.Sprintf("the command is large: %d bytes sent, 0 bytes received", e.sent)
	}
	return fmt.Sprintf("no reply: %d bytes sent, 0 bytes received", e.sent)
}

// slowForItsSize reports whether a call failed because it, or its reply, is large:
// Redis was answering, or had more to read than comes in a moment.
func slowForItsSize(err error) bool {
	stalled, ok := errors.AsType[*stalledError](err)
	return ok && (stalled.received > 0 || stalled.sent >= largeCall)
}

// wrote notes what was sent. The first bytes after a reply begin an exchange.
func (e *exchange) wrote(n int, err error) error {
	if e.received > 0 || e.sent == 0 {
		e.sent, e.received, e.began, e.looked = 0, 0, time.Now(), false
	}
	e.sent += n
	return e.stalled(err)
}

// late reads once more what may have come before a read was out of time: a process
// that waited for a processor finds both at once. It reports false if nothing had come.
func (e *exchange) late(conn net.Conn, b []byte, err error) (n int, ok bool) {
	if e.looked || !isTimeout(err) {
		return 0, false
	}
	e.looked = true
	if conn.SetReadDeadline(time.Now().Add(lookTime)) != nil {
		return 0, false
	}
	n, _ = conn.Read(b)
	return n, n > 0
}

// read notes what came.
func (e *exchange) read(n int, err error) error {
	if n > 0 {
		e.received += n
		if e.state != nil {
			e.state.hear()
		}
	}
	return e.stalled(err)
}

func (e *exchange) stalled(err error) error {
	if isTimeout(err) {
		// Of an error while a connection is set up, the library takes the outermost
		// layer off.
		return fmt.Errorf("redis: %w", &stalledError{err, e.sent, e.received, time.Since(e.began)})
	}
	return err
}

func isTimeout(err error) bool {
	if err == nil { // as nearly always, and what follows allocates
		return false
	}
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// follow has a state hear what comes on the connection.
func (e *exchange) follow(s *state) { e.state = s }

// followed returns a dialer whose connections a state hears.
func followed(s *state, dial func(ctx context.Context, network, addr string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if c, ok := conn.(interface{ follow(*state) }); ok {
			c.follow(s)
		}
		return conn, err
	}
}

// busy reports whether a call failed because all connections were in use, or all
// places of large reads, while Redis went on answering on them: then it is this service
// that has too much to do. Where nothing comes on any of them, Redis keeps them.
func (c *client) busy(cause error) bool {
	if !c.heardWithin(c.quiet) {
		return false
	}
	return noConnection(cause) || c.ranOutWaiting(cause) || errors.Is(cause, errNoTurn)
}

// noConnection reports whether the library gave up to wait for a connection.
func noConnection(err error) bool {
	return errors.Is(err, goredis.ErrPoolTimeout) || errors.Is(err, goredis.ErrPoolExhausted)
}

// ranOutWaiting reports whether a budget shorter than the wait for a connection
// ended in it. The library then gives the context's own error.
func (c *client) ranOutWaiting(cause error) bool {
	if !errors.Is(cause, context.DeadlineExceeded) || errors.As(cause, new(*net.OpError)) {
		return false
	}
	p := c.PoolStats()
	return int(p.TotalConns) >= c.Options().PoolSize && p.IdleConns == 0
}
