package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// lookups finds the addresses of hosts. A *net.DNSError has only the text of what went
// wrong, so one that is for lack of descriptors in this process looks like a name server
// that is away, and the other side would be blamed. Of these, lookups gives an error
// that also wraps the lack.
type lookups struct {
	dial  func(ctx context.Context, network, address string) (net.Conn, error) // to a name server
	spare func() error                                                         // opens a file, which needs a descriptor

	lacked atomic.Pointer[lack] // the last
}

// lack is a connection to a name server that could not be opened for it.
type lack struct {
	at  time.Time
	err error
}

func newLookups() *lookups {
	return &lookups{dial: (&net.Dialer{}).DialContext, spare: openAndClose}
}

func openAndClose() error {
	f, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	return f.Close()
}

// resolver is Go's own, which the released program has in any case: the system's
// does not say what it could not open.
func (l *lookups) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := l.dial(ctx, network, address)
		if lacksDescriptors(err) {
			l.lacked.Store(&lack{time.Now(), err})
		}
		return conn, err
	}}
}

// netIP is a redis.LookupFunc.
func (l *lookups) netIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	began := time.Now()
	found, err := l.resolver().LookupNetIP(ctx, network, host)
	return found, l.explained(began, err)
}

// dialing has a dialer look up names here.
func (l *lookups) dialing(d *net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	own := *d
	own.Resolver = l.resolver()
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		began := time.Now()
		conn, err := own.DialContext(ctx, network, address)
		return conn, l.explained(began, err)
	}
}

// explained adds the lack that a lookup failed for. It was noted while the lookup ran;
// or else what is read beside the name servers, such as the file of hosts, could not be
// opened, which nothing tells, so the system is asked now.
func (l *lookups) explained(began time.Time, err error) error {
	if _, ok := errors.AsType[*net.DNSError](err); !ok {
		return err
	}
	if last := l.lacked.Load(); last != nil && !last.at.Before(began) {
		return &lookupLack{err, last.err}
	}
	if cause := l.spare(); lacksDescriptors(cause) {
		return &lookupLack{err, cause}
	}
	return err
}

// lookupLack is a failed lookup, and why.
type lookupLack struct{ failed, lack error }

// Error implements error.
func (e *lookupLack) Error() string { return e.failed.Error() }

// Unwrap gives both.
func (e *lookupLack) Unwrap() []error { return []error{e.failed, e.lack} }

// lacksDescriptors reports whether this process, or this machine, could open nothing
// more.
func lacksDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
