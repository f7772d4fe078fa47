package redis

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/store"
)

// texts reads keys by one pipeline, as a call of the store does.
func texts(t *testing.T, s *Store, keys ...string) ([]string, error) {
	t.Helper()
	var got []string
	err := s.do(t.Context(), owner, "List", func(ctx context.Context, c *client) error {
		got = nil
		p := c.Pipeline()
		cmds := make([]*goredis.StringCmd, len(keys))
		for i, k := range keys {
			cmds[i] = p.Get(ctx, k)
		}
		if err := send(ctx, p); err != nil {
			return err
		}
		for _, cmd := range cmds {
			if err := cmd.Err(); err != nil && !errors.Is(err, goredis.Nil) {
				return err
			}
			got = append(got, cmd.Val())
		}
		return nil
	})
	return got, err
}

const none = "$-1\r\n"

// Of a slot that is being moved, each command is answered where its key is.
func TestRedirectsOfEachCommand(t *testing.T) {
	t.Parallel()
	nodes := startScripted(t, 2)
	a, b := nodes[0], nodes[1]
	s := clusterOf(t, 2*time.Second, a)
	for name, c := range map[string]struct {
		a, b   func(n int, args string) string
		atA    []string
		atB    []string
		want   []string
		failed error
	}{
		"all here": {
			a: always(bulk("v")), atA: []string{"get x", "get y", "get z"}, want: []string{"v", "v", "v"},
		},
		"all there": {
			a: always("-MOVED 1 B\r\n"), b: always(bulk("w")),
			atA: []string{"get x", "get y", "get z"}, atB: []string{"get x", "get y", "get z"}, want: []string{"w", "w", "w"},
		},
		"one there": {
			a: func(_ int, args string) string {
				if args == "get y" {
					return "-ASK 1 B\r\n"
				}
				return bulk("v")
			},
			b: func(_ int, args string) string {
				return map[string]string{"asking": "+OK\r\n", "get y": bulk("w")}[args]
			},
			atA: []string{"get x", "get y", "get z"}, atB: []string{"asking", "get y"}, want: []string{"v", "w", "v"},
		},
		"two there, one is nowhere": {
			a: func(_ int, args string) string {
				if args == "get x" {
					return bulk("v")
				}
				return "-ASK 1 B\r\n"
			},
			b: func(_ int, args string) string {
				return map[string]string{"asking": "+OK\r\n", "get y": bulk("w"), "get z": none}[args]
			},
			atA: []string{"get x", "get y", "get z"}, atB: []string{"asking", "get y", "asking", "get z"}, want: []string{"v", "w", ""},
		},
		"one not now": {
			a: func(n int, args string) string {
				if args == "get y" && n < 6 {
					return "-TRYAGAIN Multiple keys request during rehashing of slot\r\n"
				}
				return bulk("v")
			},
			atA: []string{"get x", "get y", "get z", "get y", "get y", "get y"}, want: []string{"v", "v", "v"},
		},
		"one there, but not yet": {
			a: func(_ int, args string) string {
				if args == "get y" {
					return "-ASK 1 B\r\n"
				}
				return bulk("v")
			},
			b: func(n int, args string) string {
				switch {
				case args == "asking":
					return "+OK\r\n"
				case n < 4:
					return "-TRYAGAIN Multiple keys request during rehashing of slot\r\n"
				}
				return bulk("w")
			},
			atA: []string{"get x", "get y", "get z", "get y"}, atB: []string{"asking", "get y", "asking", "get y"}, want: []string{"v", "w", "v"},
		},
		"each knows better": {
			a:   always("-MOVED 1 B\r\n"),
			b:   always("-MOVED 1 A\r\n"),
			atA: []string{"get x", "get y", "get z", "get x", "get y", "get z", "get x", "get y", "get z"},
			atB: []string{"get x", "get y", "get z", "get x", "get y", "get z"}, failed: store.ErrNotReady,
		},
		"there is here": {
			a:   always("-MOVED 1 A\r\n"),
			atA: slices.Repeat([]string{"get x", "get y", "get z"}, 1+maxRedirects), failed: store.ErrNotReady,
		},
	} {
		names := strings.NewReplacer(" A\r", " "+a.addr+"\r", " B\r", " "+b.addr+"\r")
		for s, says := range map[*scripted]func(int, string) string{a: c.a, b: c.b} {
			s.will(func(n int, args string) string { return names.Replace(says(n, args)) })
		}
		got, err := texts(t, s, "x", "y", "z")
		if !slices.Equal(got, c.want) || !errors.Is(err, c.failed) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if !slices.Equal(a.heard(), c.atA) || !slices.Equal(b.heard(), c.atB) {
			t.Errorf("%s: the nodes heard %q and %q", name, a.heard(), b.heard())
		}
	}
}

// A command that is turned away for long is given up, in time to say so.
func TestRedirectsEnd(t *testing.T) {
	t.Parallel()
	nodes := startScripted(t, 2)
	a, b := nodes[0], nodes[1]
	const timeout = 2 * time.Second // of which a quarter is left to say so
	s := clusterOf(t, timeout, a)
	for name, c := range map[string]struct{ a, b, code string }{
		"try again":               {a: "-TRYAGAIN not now\r\n", code: "TRYAGAIN"},
		"ask, and they disagree":  {a: ask(b), b: moved(a)},
		"ask, and the other bars": {a: ask(b), b: "-TRYAGAIN not now\r\n", code: "TRYAGAIN"},
		"no name":                 {a: "-MOVED 1 ?:6379\r\n"},
	} {
		a.will(always(c.a))
		b.will(func(_ int, args string) string {
			if args == "asking" {
				return "+OK\r\n"
			}
			return c.b
		})
		began := time.Now()
		_, err := texts(t, s, "x")
		took := time.Since(began)
		e, ok := errors.AsType[*store.Error](err)
		if !ok || !errors.Is(err, store.ErrNotReady) || e.Code != c.code || !e.Transient() {
			t.Errorf("%s: %v", name, err)
		}
		if took < timeout/2 {
			t.Errorf("%s: given up after %v", name, took)
		}
		if n := len(a.heard()); n > int(timeout/redirectPause) {
			t.Errorf("%s: sent %d times", name, n)
		}
	}
}

// What fails where a redirect led is counted against that node, and not against the
// one that redirected. Nothing is sent twice.
func TestFailureElsewhere(t *testing.T) {
	t.Parallel()
	nodes := startScripted(t, 2)
	a, b := nodes[0], nodes[1]
	s := clusterOf(t, 300*time.Millisecond, a)
	a.will(always(moved(b)))
	b.will(func(int, string) string { return "" }) // it answers nothing
	const calls = tripAfter - 1
	for range calls {
		if _, err := texts(t, s, "x"); !errors.Is(err, store.ErrTimeout) {
			t.Errorf("got %v", err)
		}
	}
	if n := len(b.heard()); n != calls {
		t.Errorf("%d calls were sent %d times", calls, n)
	}
	c := s.topology.(*cluster)
	there, err := c.reach(b.addr)
	if err != nil {
		t.Fatal(err)
	}
	if here := s.one(); here.current.Load().failures.Load() != 0 || there.current.Load().failures.Load() != calls {
		t.Errorf("%d failures here, %d there", here.current.Load().failures.Load(), there.current.Load().failures.Load())
	}
}

// A connection that breaks where a redirect led is replaced there, and the call made
// once more.
func TestConnectionLostElsewhere(t *testing.T) {
	t.Parallel()
	nodes := startScripted(t, 2)
	a, b := nodes[0], nodes[1]
	s := clusterOf(t, time.Second, a)
	a.will(always(moved(b)))
	b.will(func(n int, _ string) string {
		if n == 1 {
			return "*" // and the connection ends
		}
		return bulk("w")
	})
	got, err := texts(t, s, "x")
	if err != nil || !slices.Equal(got, []string{"w"}) || len(a.heard()) != 2 || len(b.heard()) != 2 {
		t.Errorf("%q, %v; the nodes heard %q and %q", got, err, a.heard(), b.heard())
	}
}

// A redirect is no failure of the exchange: the command is answered elsewhere.
func TestTraceOfARedirect(t *testing.T) {
	t.Parallel()
	nodes := startScripted(t, 2)
	a, b := nodes[0], nodes[1]
	told := make(chan RoundTrip, 10)
	s, err := New(Options{URL: "redis://" + a.addr, Mode: ModeCluster, Trace: Trace{RoundTrip: func(_ context.Context, r RoundTrip) {
		if r.Command != "PING" {
			told <- r
		}
	}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	a.will(func(_ int, args string) string {
		if args == "get x" {
			return bulk("v")
		}
		return moved(b)
	})
	b.will(always("-OOM no\r\n"))
	if _, err := texts(t, s, "x", "y"); !errors.Is(err, store.ErrFull) {
		t.Error(err)
	}
	for i, want := range []struct {
		peer string
		err  error
	}{{a.addr, nil}, {b.addr, store.ErrFull}} {
		if r := <-told; r.Peer != want.peer || !errors.Is(r.Err, want.err) {
			t.Errorf("exchange %d: %+v", i, r)
		}
	}
}

// A call that is redirected while the store closes fails as all do that are made then.
func TestRedirectWhileClosing(t *testing.T) {
	t.Parallel()
	nodes := startScripted(t, 2)
	a, b := nodes[0], nodes[1]
	s := clusterOf(t, time.Second, a)
	if _, err := texts(t, s, "x"); err != nil {
		t.Fatal(err)
	}
	a.will(func(int, string) string {
		s.topology.(*cluster).end()
		return moved(b)
	})
	if _, err := texts(t, s, "x"); !errors.Is(err, store.ErrUnreachable) {
		t.Error(err)
	}
	if len(b.heard()) != 0 {
		t.Errorf("the other node heard %q", b.heard())
	}
}
