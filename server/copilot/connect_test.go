package copilot_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"parley/server/copilot"
	"parley/server/copilot/emulator"
)

// TestConnectIsRetriedOnce: a connection that fails is tried again, and the
// request goes up once.
func TestConnectIsRetriedOnce(t *testing.T) {
	overBoth(t, func(t *testing.T, to, _ connect) {
		refused := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("refused")}
		for fails, want := range map[int]error{0: nil, 1: nil, 2: copilot.ErrUnreachable} {
			emu := emulator.New(emulator.Options{})
			dials := 0
			c := to(t, emu, func(o *copilot.Options) {
				tr := copilot.NewTransport()
				dial := tr.DialContext
				tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
					if dials++; dials <= fails {
						return nil, refused
					}
					return dial(ctx, network, addr)
				}
				o.Transport = tr
			})
			o := collect(t, c.Start(t.Context(), copilot.Start{}))
			if (o.err == nil) != (want == nil) || o.err != nil && (!errors.Is(o.err, want) || o.err.Status != 0) {
				t.Errorf("%d failed dials: %+v", fails, o.err)
			}
			if n := len(emu.Requests()); (want == nil) != (n == 1) || n > 1 || dials > 2 {
				t.Errorf("%d failed dials: %d requests, %d dials", fails, n, dials)
			}
		}
	})
}

func TestUnreachable(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := l.Addr().String()
	_ = l.Close()
	o := collect(t, client(t, "http://"+free, nil).Start(t.Context(), copilot.Start{}))
	if o.err == nil || !errors.Is(o.err, copilot.ErrUnreachable) || o.err.Cause == nil {
		t.Errorf("refused: %+v", o.err)
	}
	srv := httptest.NewUnstartedServer(&answer{body: end})
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	if o := collect(t, client(t, srv.URL, nil).Start(t.Context(), copilot.Start{})); o.err == nil || !errors.Is(o.err, copilot.ErrUnreachable) {
		t.Errorf("certificate of nobody: %+v", o.err)
	}
	plain := httptest.NewServer(&answer{body: end})
	defer plain.Close()
	if o := collect(t, client(t, "https"+strings.TrimPrefix(plain.URL, "http"), nil).Start(t.Context(), copilot.Start{})); o.err == nil || !errors.Is(o.err, copilot.ErrUnreachable) {
		t.Errorf("no TLS there: %+v", o.err)
	}
}

// TestBrokenWarmConnection: the connection of the call before is used again and
// breaks. The agent may have read the request, so it is not repeated.
func TestBrokenWarmConnection(t *testing.T) {
	overBoth(t, func(t *testing.T, to, _ connect) {
		emu := emulator.New(emulator.Options{})
		c := to(t, emu, nil)
		id := open(t, c)
		o := collect(t, c.Turn(t.Context(), turn(id, "/hang-up")))
		if o.err == nil || !errors.Is(o.err, copilot.ErrInterrupted) || sent(emu, emulator.KindTurn) != 1 {
			t.Errorf("%+v, %d requests", o.err, sent(emu, emulator.KindTurn))
		}
	})
}

// TestOtherTransports: one that does not say when it connects gets no benefit
// of the doubt.
func TestOtherTransports(t *testing.T) {
	for _, tt := range []struct {
		err   error
		want  error
		calls int
	}{
		{errors.New("unknown"), copilot.ErrInterrupted, 1},
		{&net.DNSError{Err: "no such host"}, copilot.ErrUnreachable, 2},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, copilot.ErrUnreachable, 2},
		{&net.OpError{Op: "read", Err: errors.New("reset")}, copilot.ErrInterrupted, 1},
	} {
		rt := &failing{err: tt.err}
		c := client(t, "http://127.0.0.1:1", func(o *copilot.Options) { o.Transport = rt })
		o := collect(t, c.Turn(t.Context(), turn("c", "x")))
		if o.err == nil || !errors.Is(o.err, tt.want) || rt.calls != tt.calls {
			t.Errorf("%v: %+v after %d calls", tt.err, o.err, rt.calls)
		}
	}
}

type failing struct {
	err   error
	calls int
}

func (f *failing) RoundTrip(r *http.Request) (*http.Response, error) {
	f.calls++
	_ = r.Body.Close()
	return nil, f.err
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	srv := httptest.NewUnstartedServer(emulator.New(emulator.Options{}))
	var opened atomic.Int64
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	c := client(t, srv.URL, nil)
	id := open(t, c)
	for range 10 {
		collect(t, c.Turn(t.Context(), turn(id, "hello")))
	}
	if n := opened.Load(); n > 2 {
		t.Errorf("%d connections for 11 calls", n)
	}
}

// TestStaleConnection: a connection that was kept, and of which the agent takes
// no byte any more, costs nobody a turn. Once the body was on its way, the turn
// may have run.
func TestStaleConnection(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name         string
		stale, after int // writes that fail, after so many that do not
		want         error
		requests     int
	}{
		{"none", 0, 0, nil, 1},
		{"one", 1, 0, nil, 1},
		{"two", 2, 0, nil, 1},
		{"some taken", 1, 1, copilot.ErrInterrupted, 0},
		{"too many", 3, 0, copilot.ErrUnreachable, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			emu, left, after := emulator.New(emulator.Options{}), 0, 0
			c := to(t, emu, func(o *copilot.Options) {
				tr := copilot.NewTransport()
				dial := tr.DialContext
				tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
					conn, err := dial(ctx, network, addr)
					return &staleConn{Conn: conn, fail: func() error {
						switch {
						case left == 0:
							return nil
						case after > 0:
							after--
							return nil
						}
						left--
						return broken
					}}, err
				}
				o.Transport = tr
			})
			// As many connections are kept as turns that ran at once.
			ids := []string{open(t, c)}
			var running sync.WaitGroup
			for range 3 {
				running.Go(func() { collect(t, c.Turn(t.Context(), turn(ids[0], "/slow 50ms"))) })
			}
			running.Wait()
			left, after = tt.stale, tt.after
			before := sent(emu, emulator.KindTurn)
			text := "hello"
			if tt.after > 0 {
				text = strings.Repeat("hello ", 1<<10) // more than the transport writes at once
			}
			o := collect(t, c.Turn(t.Context(), turn(ids[0], text)))
			if (o.err == nil) != (tt.want == nil) || o.err != nil && !errors.Is(o.err, tt.want) {
				t.Errorf("error = %+v", o.err)
			}
			if n := sent(emu, emulator.KindTurn) - before; n != tt.requests {
				t.Errorf("%d requests, want %d", n, tt.requests)
			}
		})
	}
}

type staleConn struct {
	net.Conn
	fail func() error
}

func (c *staleConn) Write(p []byte) (int, error) {
	if err := c.fail(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// TestRequestIsOneWrite: each write costs a system call and a packet, on both sides.
// HTTP/2 has two frames for a request, and writes each by itself.
func TestRequestIsOneWrite(t *testing.T) {
	var writes atomic.Int64
	c := to(t, emulator.New(emulator.Options{}), func(o *copilot.Options) {
		tr := copilot.NewTransport()
		dial := tr.DialContext
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			return &staleConn{Conn: conn, fail: func() error { writes.Add(1); return nil }}, err
		}
		o.Transport = tr
	})
	id := open(t, c)
	before := writes.Load()
	collect(t, c.Turn(t.Context(), turn(id, "hello")))
	if n := writes.Load() - before; n != 1 {
		t.Errorf("%d writes for a turn", n)
	}
}
