package redis

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

// attemptDelay is between the starts of two attempts to connect, as RFC 8305,
// section 5, recommends. It is shorter where the timeout of the dial leaves no
// room for all addresses.
const attemptDelay = 250 * time.Millisecond

// maxAddresses of one name are tried.
const maxAddresses = 16

// LookupFunc finds the addresses of a host, as net.Resolver.LookupNetIP does.
type LookupFunc func(ctx context.Context, network, host string) ([]netip.Addr, error)

// dialer connects to a name that may have several addresses, by Happy Eyeballs
// (RFC 8305). net.Dialer races IPv6 against IPv4 only. Of one family it tries an
// address after the other, and gives each of them at least two seconds: if our
// whole timeout is no longer than that, an address that drops packets uses it up.
type dialer struct {
	timeout time.Duration // of the lookup and of all attempts together
	lookup  LookupFunc
	// connect opens a connection to one address, TLS included: an address that
	// accepts connections and then says nothing is no better than one that does not.
	connect func(ctx context.Context, addr string) (net.Conn, error)
}

// dial is for goredis.Options.Dialer.
func (d *dialer) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	found, err := d.lookup(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
	}
	addrs := make([]string, 0, len(found))
	for _, ip := range interleave(found) {
		addrs = append(addrs, net.JoinHostPort(ip.String(), port))
	}
	addrs = addrs[:min(len(addrs), maxAddresses)]
	return d.race(ctx, addrs, min(attemptDelay, d.timeout/time.Duration(len(addrs)+1)))
}

// interleave alternates between the families, beginning with that of the first
// address (RFC 8305, section 4). The order within a family stays the resolver's.
func interleave(found []netip.Addr) []netip.Addr {
	var first, second []netip.Addr
	for _, ip := range found {
		ip = ip.Unmap()
		if ip.Is4() == found[0].Unmap().Is4() {
			first = append(first, ip)
		} else {
			second = append(second, ip)
		}
	}
	out := make([]netip.Addr, 0, len(found))
	for i := range max(len(first), len(second)) {
		if i < len(first) {
			out = append(out, first[i])
		}
		if i < len(second) {
			out = append(out, second[i])
		}
	}
	return out
}

// race returns the first connection that comes about. An attempt starts delay
// after the one before it, or as soon as that one has failed. If all fail, the
// error is that of the first to fail. When race returns, no attempt is running.
func (d *dialer) race(ctx context.Context, addrs []string, delay time.Duration) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	results := make(chan result, len(addrs))
	var attempts sync.WaitGroup
	defer func() {
		cancel()
		attempts.Wait()
		close(results)
		for r := range results {
			if r.err == nil {
				_ = r.conn.Close()
			}
		}
	}()
	timer := time.NewTimer(delay)
	defer timer.Stop()
	started, failed := 0, 0
	start := func() {
		if started == len(addrs) {
			return
		}
		addr := addrs[started]
		started++
		attempts.Go(func() {
			conn, err := d.connect(ctx, addr)
			results <- result{conn, err}
		})
		timer.Reset(delay)
	}
	start()
	var firstErr error
	for {
		select {
		case r := <-results:
			if r.err == nil {
				return r.conn, nil
			}
			if firstErr == nil {
				firstErr = r.err
			}
			if failed++; failed == len(addrs) {
				return nil, firstErr
			}
			start()
		case <-timer.C:
			start()
		}
	}
}
