package faultproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// door is the state of the listener, as a dial sees it.
type door int

const (
	open door = iota
	shut      // not listening
	hung      // the backlog is full
)

const (
	listenWait = 5 * time.Second // for the port to be free again
	listenTick = 5 * time.Millisecond
	fillWait   = 200 * time.Millisecond
	backlog    = 1024
)

// entrance is the listener of a proxy. It can be closed, and made to hang, without
// losing its port. Its methods other than addr must not be called concurrently.
type entrance struct {
	ctx      context.Context
	addr     string
	accept   func(*net.TCPConn)
	report   func(error)
	now      door
	keep     func()           // releases the port
	listener *net.TCPListener // nil while shut
	accepts  chan struct{}    // closed when the accept loop has ended; nil if none runs
	filler   net.Conn         // fills the backlog while hung
	filled   string           // the filler's address, until it has been accepted
}

// newEntrance listens on a free port. accept must not block.
func newEntrance(ctx context.Context, accept func(*net.TCPConn), report func(error)) (*entrance, error) {
	addr, keep, err := reservePort()
	if err != nil {
		return nil, fmt.Errorf("reserve a port: %w", err)
	}
	e := &entrance{ctx: ctx, addr: addr, accept: accept, report: report, keep: keep}
	if err := e.listen(); err != nil {
		keep()
		return nil, err
	}
	e.addr = e.listener.Addr().String()
	e.start()
	return e, nil
}

// set changes the state of the listener. When it returns, every connection that was
// accepted before has been passed to accept.
func (e *entrance) set(want door) error {
	if want == e.now {
		return nil
	}
	e.pause()
	if e.filler != nil {
		_ = e.filler.Close()
		e.filler = nil
	}
	e.now = want
	if want == shut {
		e.shut()
		return nil
	}
	if err := e.listen(); err != nil {
		e.now = shut
		return err
	}
	if want == hung {
		return e.hang()
	}
	if err := setBacklog(e.listener, backlog); err != nil {
		return err
	}
	e.start()
	return nil
}

func (e *entrance) close() {
	e.pause()
	if e.filler != nil {
		_ = e.filler.Close()
	}
	e.shut()
	e.now = shut
	e.keep()
}

func (e *entrance) shut() {
	if e.listener != nil {
		_ = e.listener.Close()
		e.listener, e.filled = nil, ""
	}
}

// listen listens on the port. Where the port cannot be reserved, another process may
// hold it for a moment.
func (e *entrance) listen() error {
	if e.listener != nil {
		return nil
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var shared error
		err := c.Control(func(fd uintptr) { shared = shares(fd) })
		return errors.Join(err, shared)
	}}
	ctx, cancel := context.WithTimeout(e.ctx, listenWait)
	defer cancel()
	tick := time.NewTicker(listenTick)
	defer tick.Stop()
	for {
		l, err := config.Listen(ctx, "tcp4", e.addr)
		if err == nil {
			e.listener = l.(*net.TCPListener)
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// start accepts until pause.
func (e *entrance) start() {
	_ = e.listener.SetDeadline(time.Time{})
	l, filler, accepts := e.listener, e.filled, make(chan struct{})
	e.accepts, e.filled = accepts, ""
	go func() {
		defer close(accepts)
		for {
			c, err := l.AcceptTCP()
			switch {
			case errors.Is(err, os.ErrDeadlineExceeded):
				return
			case err != nil:
				e.report(fmt.Errorf("accept: %w", err))
				return
			case c.RemoteAddr().String() == filler:
				_, filler = c.Close(), "" // the port may be a client's next time
			default:
				e.accept(c)
			}
		}
	}()
}

// pause stops the accept loop. New connections stay in the backlog.
func (e *entrance) pause() {
	if e.accepts != nil {
		_ = e.listener.SetDeadline(time.Unix(1, 0))
		<-e.accepts
		e.accepts = nil
	}
}

// hang reduces the backlog to its minimum of one connection, and fills it.
func (e *entrance) hang() error {
	if !hangs {
		return nil
	}
	if err := setBacklog(e.listener, 0); err != nil {
		return err
	}
	// If this dial hangs, a client was faster and has filled the backlog.
	if c, err := (&net.Dialer{Timeout: fillWait}).DialContext(e.ctx, "tcp4", e.addr); err == nil {
		e.filler, e.filled = c, c.LocalAddr().String()
	}
	return nil
}
