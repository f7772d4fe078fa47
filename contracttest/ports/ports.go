// Package ports claims TCP ports of loopback for tests: for a server that a test starts
// as a process and tells where to listen, for one that goes away and comes back, and for an
// address where nobody is to be found.
//
// A port that the kernel gave to a listener that was closed again is no such port. The
// kernel may give it to anybody else at once, and a test then talks to a server of another.
// The fault proxy does without: it listens itself, and so can keep its port from everybody.
package ports

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
	"time"
)

// Host is the address whose ports are claimed.
const Host = "127.0.0.1"

// Ports are taken from those that a kernel gives nobody who does not ask for them: what it
// gives begins at 32768 on Linux, and at 49152 (RFC 6335, section 6) elsewhere.
const (
	first = 20000
	count = 10000
)

// answerTime is how long a listener on loopback may take to answer a dial.
const answerTime = 250 * time.Millisecond

var errTaken = errors.New("somebody listens there")

// Port is a claimed one. Until it is released, nobody else who claims one gets it, in this
// process or in another. Whoever claimed it may listen on it, as often as they like.
type Port struct {
	Number string
	Addr   string // with the host

	// guard has the UDP port of that number, of which nobody else makes use: it keeps
	// other processes away, and goes when this one does.
	guard net.PacketConn
}

// Claim claims a port on which nobody listens. It fails when there is none, or ctx is done.
func Claim(ctx context.Context) (*Port, error) {
	begin := rand.IntN(count)
	var last error
	for i := range count {
		p, err := claim(ctx, first+(begin+i)%count)
		if err == nil {
			return p, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		last = err // the others are like it
	}
	return nil, fmt.Errorf("ports: none from %d to %d is free: %w", first, first+count-1, last)
}

// Of claims a port until the end of a test.
func Of(tb testing.TB) *Port {
	tb.Helper()
	p, err := Claim(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Release)
	return p
}

// Release gives the port back. Later calls do nothing.
func (p *Port) Release() { _ = p.guard.Close() }

func claim(ctx context.Context, number int) (*Port, error) {
	p := &Port{Number: strconv.Itoa(number), Addr: net.JoinHostPort(Host, strconv.Itoa(number))}
	guard, err := new(net.ListenConfig).ListenPacket(ctx, "udp4", p.Addr)
	if err != nil {
		return nil, err
	}
	p.guard = guard
	// A program that claims nothing may be there. To listen, in order to find out, could keep
	// the owner from it: a process that is just being started has a copy of the listener.
	dialer := net.Dialer{Timeout: answerTime}
	conn, err := dialer.DialContext(ctx, "tcp4", p.Addr)
	if err == nil {
		return nil, errors.Join(errTaken, conn.Close(), guard.Close())
	}
	return p, nil
}
