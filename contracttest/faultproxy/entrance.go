package faultproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// door is what a dial finds.
type door int

const (
	open door = iota
	shut      // nobody listens
	hung      // the kernel has no room for one more
)

const (
	listenWait = 5 * time.Second // for the port to be free again
	listenTick = 5 * time.Millisecond
	fillWait   = 200 * time.Millisecond
	backlog    = 1024
)

// entrance is the listener of a proxy, which can be closed and hung without
// losing its port. All its methods but addr must be called one at a time.
type entrance struct {
	ctx      context.Context
	addr     string
	accept   func(*net.TCPConn)
	report   func(error)
	now      door
	keep     func()           // gives the port back
	listener *net.TCPListener // nil while shut
	accepts  chan struct{}    // closed when accepting has ended; nil if nobody accepts
	filler   net.Conn         // takes the one place while hung
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

// set changes what a dial finds. When it returns, everything that was accepted
// before has been passed to accept.
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

// listen listens on the port, which others may hold for a moment where it
// cannot be reserved.
func (e *entrance) listen() error {
	if e.listener != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(e.ctx, listenWait)
	defer cancel()
	tick := time.NewTicker(listenTick)
	defer tick.Stop()
	for {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp4", e.addr)
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

// pause ends accepting. What comes stays in the backlog.
func (e *entrance) pause() {
	if e.accepts != nil {
		_ = e.listener.SetDeadline(time.Unix(1, 0))
		<-e.accepts
		e.accepts = nil
	}
}

// hang makes the backlog as short as it can be, one place, and takes it.
func (e *entrance) hang() error {
	if !hangs {
		return nil
	}
	if err := setBacklog(e.listener, 0); err != nil {
		return err
	}
	// If this hangs itself, a client was faster, and the place is taken.
	if c, err := (&net.Dialer{Timeout: fillWait}).DialContext(e.ctx, "tcp4", e.addr); err == nil {
		e.filler, e.filled = c, c.LocalAddr().String()
	}
	return nil
}
