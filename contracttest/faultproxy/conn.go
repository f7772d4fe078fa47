package faultproxy

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	dialTimeout = 5 * time.Second
	// linger is how long replies of Redis are still read after the client has closed
	// its connection, to count what Redis executes late.
	linger    = 10 * time.Second
	closeWait = time.Second // for a client that does not read to take a close_notify
	readAhead = 64          // commands of one connection that wait to be handled
	peekSize  = 4 << 10
)

// conn is a client's connection and its connection to Redis. Three goroutines serve
// it: one reads commands, so that a close by the client is noticed at once; one handles
// the commands in order; one delivers replies.
type conn struct {
	p      *Proxy
	number int
	raw    *net.TCPConn
	client io.ReadWriter // raw, or TLS over it
	reader *bufio.Reader // of client

	commands chan arrival
	left     chan struct{} // closed when one side has closed the connection
	dead     chan struct{} // closed when that was the proxy
	silent   atomic.Bool   // nothing is forwarded any more, in either direction

	mu      sync.Mutex
	up      *net.TCPConn  // nil until Redis has been dialed
	secure  *tls.Conn     // nil for plain
	over    bool          // left is closed
	cutOff  bool          // dead is closed
	waiting []*exchange   // forwarded and not answered, in order
	drained chan struct{} // closed when waiting is empty; nil if nothing waits for that
}

// arrival is a command that has been read.
type arrival struct {
	Command
	raw []byte
	at  time.Time
}

// exchange is a command that was forwarded.
type exchange struct {
	Command
	number int
	fault  *active // nil if none hit it
}

func newConn(p *Proxy, raw *net.TCPConn, number int) *conn {
	return &conn{
		p: p, number: number, raw: raw, client: raw, reader: bufio.NewReaderSize(raw, peekSize),
		commands: make(chan arrival, readAhead), left: make(chan struct{}), dead: make(chan struct{}),
	}
}

// run serves the connection to its end.
func (c *conn) run() {
	defer c.kill()
	if !c.begin() {
		// Not closed at once: the kernel would answer what the client still sends with a
		// RST, and the client would see a failed write before it reads EOF.
		_, _ = io.Copy(io.Discard, c.raw)
		return
	}
	var loops sync.WaitGroup
	loops.Go(c.read)
	loops.Go(c.replies)
	c.handle()
	loops.Wait()
}

// begin connects both sides.
func (c *conn) begin() bool {
	if !c.emerge() {
		return false
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	up, err := dialer.DialContext(c.p.ctx, "tcp", *c.p.upstream.Load())
	if err != nil {
		c.cut(RST)
		return false
	}
	c.mu.Lock()
	c.up = up.(*net.TCPConn)
	c.mu.Unlock()
	config := c.p.tls.Load()
	if config == nil {
		return c.p.ctx.Err() == nil
	}
	secure := tls.Server(buffered{c.raw, c.reader}, config)
	if err := secure.HandshakeContext(c.p.ctx); err != nil {
		c.cut(FIN)
		return false
	}
	c.mu.Lock()
	c.secure = secure
	c.mu.Unlock()
	c.client, c.reader = secure, bufio.NewReaderSize(secure, peekSize)
	return true
}

// buffered is a connection with a read buffer in front.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// emerge waits while a black hole holds back the new connection, and reports whether
// it is still open then. Over TLS one direction is enough to stop the handshake.
func (c *conn) emerge() bool {
	half := Requests
	if c.p.tls.Load() != nil {
		half = Both
	}
	for {
		f := c.p.fault.Load()
		if !f.swallows(half, c.number) {
			return !c.ended(c.dead)
		}
		if !c.outlast(f) {
			return false
		}
	}
}

// outlast waits until the fault is removed. It reports false if the client closes the
// connection first, which it notices by peeking at the input.
func (c *conn) outlast(f *active) bool {
	stop := make(chan struct{})
	var alarm sync.WaitGroup
	alarm.Go(func() {
		select {
		case <-f.ended:
		case <-c.dead:
		case <-c.p.ctx.Done():
		case <-stop:
		}
		_ = c.raw.SetReadDeadline(time.Unix(1, 0))
	})
	var err error
	for err == nil {
		_, err = c.reader.Peek(c.reader.Buffered() + 1)
	}
	if errors.Is(err, bufio.ErrBufferFull) { // no room to peek further
		c.wait(f)
	}
	close(stop)
	alarm.Wait()
	_ = c.raw.SetReadDeadline(time.Time{})
	return c.ended(f.ended) && (errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, bufio.ErrBufferFull))
}

// leave records that one side has closed the connection, and whether that was the
// proxy. It reports whether the proxy had not closed it before.
func (c *conn) leave(dead bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := !c.cutOff
	if !c.over {
		c.over = true
		close(c.left)
		c.p.left()
	}
	if dead && !c.cutOff {
		c.cutOff = true
		close(c.dead)
	}
	return first
}

// cut closes the connection to the client. Redis sees an orderly close.
func (c *conn) cut(h How) {
	if !c.leave(true) {
		return
	}
	if h == RST {
		_ = c.raw.SetLinger(0)
		_ = c.raw.Close()
		return
	}
	c.mu.Lock()
	secure := c.secure
	c.mu.Unlock()
	_ = c.raw.SetWriteDeadline(time.Now().Add(closeWait))
	if secure != nil {
		_ = secure.CloseWrite()
	}
	_ = c.raw.CloseWrite()
}

// kill closes both connections at once.
func (c *conn) kill() {
	c.leave(true)
	_ = c.raw.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.up != nil {
		_ = c.up.Close()
	}
}

// ended reports whether a channel is closed.
func (c *conn) ended(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
