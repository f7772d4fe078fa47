package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/contracttest/latency"
	"parley/contracttest/redistest"
	"parley/store"
)

// hang is something that hangs when the service is told to end.
type hang struct {
	settings []string
	with     seams
	stderr   io.Writer // nil discards
	// begin brings about what hangs, once the service answers.
	begin func(t *testing.T, base string)
	fails bool // something is cut off, and the service says so
}

// silence takes connections and never says anything. It ends with the test.
func silence(t *testing.T) (addr string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var conns []net.Conn
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		accepting.Wait()
		for _, c := range conns {
			_ = c.Close()
		}
	})
	return l.Addr().String()
}

// stuckStore is a store that neither heeds contexts nor can be closed. It lets go
// when the test ends.
type stuckStore struct {
	store.Store
	calls, closes bool // what hangs
	over          <-chan struct{}
}

func (s *stuckStore) FailTurn(ctx context.Context, t store.Turn, class string) error {
	if s.calls {
		<-s.over
	}
	return s.Store.FailTurn(ctx, t, class)
}

func (s *stuckStore) Close() error {
	if s.closes {
		<-s.over
	}
	return s.Store.Close()
}

// stuckWriter takes nothing until the test ends.
type stuckWriter struct{ over chan struct{} }

func newStuckWriter(t *testing.T) stuckWriter {
	w := stuckWriter{make(chan struct{})}
	t.Cleanup(func() { close(w.over) })
	return w
}

func (w stuckWriter) Write(p []byte) (int, error) {
	<-w.over
	return len(p), nil
}

// asks sends a request and waits until the agent, or whatever stands for it, has
// it. What becomes of it does not matter.
func asks(t *testing.T, url, body string, reached func() bool) {
	t.Helper()
	go func() {
		resp, err := http.Post(url, "application/json", strings.NewReader(body)) //nolint:noctx // it ends with the service
		if err == nil {
			_ = resp.Body.Close()
		}
	}()
	waitFor(t, reached)
}

// Whatever hangs, the service ends within SHUTDOWN_TIMEOUT and two seconds.
func TestShutdownIsBounded(t *testing.T) {
	slow(t)
	const timeout = time.Second
	for name, arrange := range hangs() {
		t.Run(name, func(t *testing.T) {
			if !strings.HasPrefix(name, "collector") { // whose address is the environment's
				t.Parallel()
			}
			h := arrange(t)
			c, err := load(env(settingsOf(append(h.settings, "SHUTDOWN_TIMEOUT", "1"))...))
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
			defer stop()
			out, in := io.Pipe()
			ended := make(chan error, 1)
			go func() { ended <- serve(ctx, c, h.with, in, cmp.Or[io.Writer](h.stderr, io.Discard)) }()
			base := address(t, out)
			h.begin(t, base)
			machine := latency.Watch(t)
			began := time.Now()
			stop()
			err = <-ended
			took := time.Since(began)
			if limit := timeout + 2*time.Second + machine.Max(); took > limit {
				t.Errorf("it took %v, allowed are %v", took, limit)
			}
			if (err != nil) != h.fails {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}

// hangs are the parts that can hang.
func hangs() map[string]func(*testing.T) hang {
	nothing := func(*testing.T, string) {}
	emulated := []string{"COPILOT_EMULATOR", "true"}
	collector := func(protocol string) func(*testing.T) hang {
		return func(t *testing.T) hang {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+silence(t))
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
			t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10") // milliseconds: an export is under way at the end
			t.Setenv("OTEL_BLRP_SCHEDULE_DELAY", "10")
			t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "10")
			return hang{settings: emulated, begin: func(t *testing.T, base string) { call(t, base+"/api/chat/start", m{}) }}
		}
	}
	stuck := func(calls, closes bool) func(*testing.T) hang {
		return func(t *testing.T) hang {
			a, settings := newThinking(t)
			over := make(chan struct{})
			t.Cleanup(func() { close(over) })
			with := seams{store: func(s store.Store) store.Store { return &stuckStore{s, calls, closes, over} }}
			return hang{settings: settings, with: with, fails: true, begin: func(t *testing.T, base string) {
				id := call(t, base+"/api/chat/start", m{}).ConversationID
				asks(t, base+"/api/chat/send", `{"conversationId":"`+id+`","text":"x"}`, func() bool { return a.turns() == 1 })
			}}
		}
	}
	return map[string]func(*testing.T) hang{
		"nothing":             func(*testing.T) hang { return hang{settings: emulated, begin: nothing} },
		"collector over HTTP": collector("http/protobuf"),
		"collector over gRPC": collector("grpc"),
		"call of the store":   stuck(true, false),
		"close of the store":  stuck(false, true),
		"the whole store":     stuck(true, true),
		"standard error":      func(t *testing.T) hang { return hang{settings: emulated, stderr: newStuckWriter(t), begin: nothing} },
		"standard error and the whole store": func(t *testing.T) hang {
			h := stuck(true, true)(t)
			h.stderr = newStuckWriter(t)
			return h
		},
		"agent":                     hangingAgent,
		"client that reads nothing": deafClient,
		"issuer": func(t *testing.T) hang {
			return hang{settings: append([]string{
				"AUTH_REQUIRED", "true", "AUTH_ISSUER", "http://" + silence(t), "AZURE_CLIENT_ID", "app", "ALLOWED_TENANT_IDS", "t",
			}, emulated...), begin: nothing}
		},
		"Redis, asked nothing": func(t *testing.T) hang {
			redis := redistest.Start(t)
			return hang{settings: append(emulated, "REDIS_URL", redis.URL()), begin: func(t *testing.T, base string) {
				call(t, base+"/api/chat/start", m{})
				halt(t, redis)
			}}
		},
		"Redis, at the commit": hangingRedis,
		"Redis, the breaker open": func(t *testing.T) hang {
			redis := redistest.Start(t)
			settings := append(slices.Clone(emulated), "REDIS_URL", redis.URL(), "REDIS_TIMEOUT", "3000")
			return hang{settings: settings, begin: func(t *testing.T, base string) {
				call(t, base+"/api/chat/start", m{})
				halt(t, redis)
				// Five calls without an answer and a PING without one open it. Then calls
				// fail at once.
				waitFor(t, func() bool {
					asked := time.Now()
					return call(t, base+"/api/chat/conversations", nil).Class == "store_timeout" && time.Since(asked) < time.Second
				})
			}}
		},
	}
}

// halt stops Redis until the test ends.
func halt(t *testing.T, redis *redistest.Server) {
	t.Helper()
	redis.Stop(t)
	t.Cleanup(func() { redis.Continue(t) })
}

// hangingAgent is asked and never answers.
func hangingAgent(t *testing.T) hang {
	a, settings := newThinking(t)
	return hang{settings: settings, begin: func(t *testing.T, base string) {
		id := call(t, base+"/api/chat/start", m{}).ConversationID
		asks(t, base+"/api/chat/send", `{"conversationId":"`+id+`","text":"x"}`, func() bool { return a.turns() == 1 })
	}}
}

// hangingRedis hangs when the agent's answer is to be stored.
func hangingRedis(t *testing.T) hang {
	redis := redistest.Start(t)
	a, settings := newThinking(t)
	return hang{settings: append(settings, "REDIS_URL", redis.URL(), "REDIS_TIMEOUT", "10000"), begin: func(t *testing.T, base string) {
		id := call(t, base+"/api/chat/start", m{}).ConversationID
		asks(t, base+"/api/chat/send", `{"conversationId":"`+id+`","text":"x"}`, func() bool { return a.turns() == 1 })
		halt(t, redis)
		a.goOn()
	}}
}

// deafClient asks again and again and reads none of the answers, until the service
// takes no more of its requests.
func deafClient(t *testing.T) hang {
	return hang{settings: []string{"COPILOT_EMULATOR", "true"}, fails: true, begin: func(t *testing.T, base string) {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		requests := []byte(strings.Repeat("GET /openapi.yaml HTTP/1.1\r\nHost: localhost\r\n\r\n", 1000))
		for err == nil {
			if err := conn.SetWriteDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			_, err = conn.Write(requests)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}}
}
