package redis

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
	"parley/store"
)

// resolve is a resolver that knows these addresses for every name.
func resolve(addrs ...string) LookupFunc {
	return func(context.Context, string, string) ([]netip.Addr, error) {
		var out []netip.Addr
		for _, a := range addrs {
			out = append(out, netip.MustParseAddr(a))
		}
		return out, nil
	}
}

// forward passes connections to addr on to a server until the test ends.
func forward(t *testing.T, addr, server string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			outer, err := l.Accept()
			if err != nil {
				return
			}
			inner, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server)
			if err != nil {
				_ = outer.Close()
				return
			}
			go func() { _, _ = io.Copy(inner, outer); _ = inner.Close() }()
			go func() { _, _ = io.Copy(outer, inner); _ = outer.Close() }()
		}
	}()
}

// A name with two addresses of one family works as long as one of them does,
// whatever is wrong with the other, over TLS too.
func TestTwoAddresses(t *testing.T) {
	server, certs := redistest.Start(t), faultproxy.NewCertificates(t)
	for _, scheme := range []string{"redis", "rediss"} {
		for what, fault := range map[string]faultproxy.Fault{
			"drops packets": faultproxy.HangDials(), "refuses": faultproxy.Refuse(), "works": {},
		} {
			for first, addrs := range map[string][]string{"first": {"127.0.0.1", "127.0.0.2"}, "second": {"127.0.0.2", "127.0.0.1"}} {
				var options []faultproxy.Option
				if scheme == "rediss" {
					options = append(options, faultproxy.WithTLS(certs.Good))
				}
				good := faultproxy.Start(t, server.Addr(), options...)
				bad := faultproxy.Start(t, server.Addr(), options...)
				_, port, _ := net.SplitHostPort(bad.Addr())
				forward(t, "127.0.0.2:"+port, good.Addr())
				bad.Set(fault)
				s, err := New(Options{
					URL: scheme + "://localhost:" + port, RootCAs: certs.Pool, Timeout: 5 * time.Second, Lookup: resolve(addrs...),
				})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = s.Close() })
				if err := s.Ping(t.Context()); err != nil {
					t.Errorf("%s: the %s address %s: %v (%v)", scheme, first, what, err, errors.Unwrap(err))
				}
			}
		}
	}
}

// A name all of whose addresses fail is unreachable, and says why.
func TestNoAddressWorks(t *testing.T) {
	s, err := New(Options{URL: "redis://redis.test:1", Timeout: time.Second, Lookup: resolve("127.0.0.1", "127.0.0.2")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	e, ok := errors.AsType[*store.Error](s.Ping(t.Context()))
	if !ok || !errors.Is(e, store.ErrUnreachable) || e.Reason != "connection refused" {
		t.Errorf("%#v", e)
	}
}

// The race: what is tried, when, and what comes of it.
func TestRace(t *testing.T) {
	errRefused := errors.New("refused")
	never := time.Hour
	type attempt struct {
		after time.Duration // until it ends, by ctx at the latest
		err   error
	}
	for _, c := range []struct {
		what    string
		timeout time.Duration
		addrs   []string
		ends    map[string]attempt // by address; the others never end
		want    string             // the address that wins, "" for none
		took    time.Duration
		tried   []string
	}{
		{
			"the first works", 2 * time.Second,
			[]string{"10.0.0.1", "10.0.0.2"},
			map[string]attempt{"10.0.0.1:1": {time.Millisecond, nil}},
			"10.0.0.1:1", time.Millisecond,
			[]string{"10.0.0.1:1"},
		},
		{
			"the first is silent", 2 * time.Second,
			[]string{"10.0.0.1", "10.0.0.2"},
			map[string]attempt{"10.0.0.2:1": {time.Millisecond, nil}},
			"10.0.0.2:1", 251 * time.Millisecond,
			[]string{"10.0.0.1:1", "10.0.0.2:1"},
		},
		{
			"the first refuses", 2 * time.Second,
			[]string{"10.0.0.1", "10.0.0.2"},
			map[string]attempt{"10.0.0.1:1": {time.Millisecond, errRefused}, "10.0.0.2:1": {time.Millisecond, nil}},
			"10.0.0.2:1", 2 * time.Millisecond,
			[]string{"10.0.0.1:1", "10.0.0.2:1"},
		},
		{
			"the first is slow, and faster than the second", 2 * time.Second,
			[]string{"10.0.0.1", "10.0.0.2"},
			map[string]attempt{"10.0.0.1:1": {300 * time.Millisecond, nil}, "10.0.0.2:1": {300 * time.Millisecond, nil}},
			"10.0.0.1:1", 300 * time.Millisecond,
			[]string{"10.0.0.1:1", "10.0.0.2:1"},
		},
		{
			"there is time for a share only", 120 * time.Millisecond,
			[]string{"10.0.0.1", "10.0.0.2", "10.0.0.3"},
			map[string]attempt{"10.0.0.3:1": {time.Millisecond, nil}},
			"10.0.0.3:1", 61 * time.Millisecond,
			[]string{"10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"},
		},
		{
			"families alternate", 2 * time.Second,
			[]string{"2001:db8::1", "2001:db8::2", "10.0.0.1"},
			map[string]attempt{"10.0.0.1:1": {time.Millisecond, nil}},
			"10.0.0.1:1", 251 * time.Millisecond,
			[]string{"[2001:db8::1]:1", "10.0.0.1:1"},
		},
		{
			"all refuse", 2 * time.Second,
			[]string{"10.0.0.1", "10.0.0.2"},
			map[string]attempt{"10.0.0.1:1": {time.Millisecond, errRefused}, "10.0.0.2:1": {time.Millisecond, errRefused}},
			"", 2 * time.Millisecond,
			[]string{"10.0.0.1:1", "10.0.0.2:1"},
		},
		{"all are silent", 2 * time.Second, []string{"10.0.0.1", "10.0.0.2"}, nil, "", 2 * time.Second, []string{"10.0.0.1:1", "10.0.0.2:1"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var tried []string
			var open atomic.Int32
			d := &dialer{timeout: c.timeout, lookup: resolve(c.addrs...), connect: func(ctx context.Context, addr string) (net.Conn, error) {
				mu.Lock()
				tried = append(tried, addr)
				mu.Unlock()
				end, ok := c.ends[addr]
				if !ok {
					end.after = never
				}
				select {
				case <-time.After(end.after):
				case <-ctx.Done():
					return nil, ctx.Err()
				}
				if end.err != nil {
					return nil, end.err
				}
				open.Add(1)
				return &namedConn{addr: addr, closed: func() { open.Add(-1) }}, nil
			}}
			began := time.Now()
			conn, err := d.dial(t.Context(), "tcp", "redis.test:1")
			took := time.Since(began)
			won := ""
			if err == nil {
				won = conn.(*namedConn).addr
				_ = conn.Close()
			}
			if won != c.want || took != c.took || !slices.Equal(tried, c.tried) || open.Load() != 0 {
				t.Errorf("%s: %q after %v, tried %v, %d left open (%v)", c.what, won, took, tried, open.Load(), err)
			}
		})
	}
}

type namedConn struct {
	net.Conn
	addr   string
	closed func()
}

func (c *namedConn) Close() error { c.closed(); return nil }

// An attempt that loses leaves neither a goroutine nor a connection.
func TestRaceLeavesNothing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	d := &dialer{timeout: time.Second, lookup: resolve("127.0.0.1", "127.0.0.1"), connect: connector(nil, nil)}
	conn, err := d.dial(t.Context(), "tcp", "redis.test:"+port)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	goleak.VerifyNone(t, before)
}
