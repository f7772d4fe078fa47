package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/server"
	"parley/server/auth"
	"parley/server/copilot/emulator"
	"parley/store"
)

// watched is a service whose parts can be made to fail.
type watched struct {
	t         *testing.T
	base      string
	emulator  *emulator.Emulator
	store     *failingStore
	server    *server.Server
	collector *collector
	log       *sharedBuffer
	unplug    func() // takes the agent away
	end       func() // ends the service and sends what telemetry is left
}

// sharedBuffer is written by a service and read by a test.
type sharedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *sharedBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *sharedBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// failingStore fails, or does anything else, when a turn begins, completes or fails.
type failingStore struct {
	store.Store
	begin, complete, fail func(context.Context) error
}

func (s *failingStore) BeginTurn(ctx context.Context, b store.Begin) (store.Turn, error) {
	if s.begin != nil {
		if err := s.begin(ctx); err != nil {
			return store.Turn{}, err
		}
	}
	return s.Store.BeginTurn(ctx, b)
}

func (s *failingStore) CompleteTurn(ctx context.Context, t store.Turn, c store.Completion) error {
	if s.complete != nil {
		if err := s.complete(ctx); err != nil {
			return err
		}
	}
	return s.Store.CompleteTurn(ctx, t, c)
}

func (s *failingStore) FailTurn(ctx context.Context, t store.Turn, class string) error {
	if s.fail != nil {
		if err := s.fail(ctx); err != nil {
			return err
		}
	}
	return s.Store.FailTurn(ctx, t, class)
}

// verdict is a Verifier that always decides the same.
type verdict struct{ err error }

func (v verdict) Verify(context.Context, string) (auth.Principal, error) {
	return auth.Principal{Tenant: "tenant-1", User: "user-1"}, v.err
}

// change is what a test changes of a service before it is built.
type change func(*config, *seams)

// watch starts a service that exports by that protocol to a collector of its own.
func watch(t *testing.T, protocol string, changes ...change) *watched {
	t.Helper()
	c := newCollector(t)
	c.use(t, protocol)
	w := watchExports(t, changes...)
	w.collector = c
	return w
}

// watchAt starts a service that exports traces to that address, and samples none.
func watchAt(t *testing.T, endpoint string, changes ...change) *watched {
	t.Helper()
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint+"/v1/traces")
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	return watchExports(t, changes...)
}

// watchExports starts a service that exports as the environment says.
func watchExports(t *testing.T, changes ...change) *watched {
	t.Helper()
	w := &watched{t: t, emulator: emulator.New(emulator.Options{Token: "stub"}), log: &sharedBuffer{}}
	agentWeb := httptest.NewServer(w.emulator)
	c, err := load(env(settingsOf([]string{
		"COPILOT_DIRECT_CONNECT_URL", agentWeb.URL + "/agent", "COPILOT_STUB_TOKEN", "stub", "TELEMETRY_OWNER_KEY", "0123456789abcdef",
	})...))
	if err != nil {
		t.Fatal(err)
	}
	with := seams{store: func(s store.Store) store.Store {
		w.store = &failingStore{Store: s}
		return w.store
	}}
	for _, f := range changes {
		if f != nil {
			f(&c, &with)
		}
	}
	s, err := newService(t.Context(), c, with, w.log)
	if err != nil {
		t.Fatal(err)
	}
	w.server = s.api
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.base = "http://" + listener.Addr().String()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx, listener, nil, io.Discard) }()
	w.unplug = sync.OnceFunc(func() {
		s.agent.close()
		agentWeb.CloseClientConnections()
		agentWeb.Close()
	})
	w.end = sync.OnceFunc(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the service ended with %v", err)
		}
		w.unplug()
	})
	t.Cleanup(w.end)
	return w
}

// told is an answer of the API.
type told struct {
	status int
	header http.Header
	body   []byte
	problem
}

// problem is what every failure's body has.
type problem struct {
	Conversation string `json:"conversationId"`
	Class        string `json:"class"`
	Error        string `json:"error"`
	TraceID      string `json:"traceId"`
}

// do asks the service. An error is for a client that left.
func (w *watched) do(ctx context.Context, method, path, body string, header ...string) (told, error) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, w.base+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := checked(w.t).Do(req)
	if err != nil {
		return told{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	out := told{status: resp.StatusCode, header: resp.Header}
	if out.body, err = io.ReadAll(resp.Body); err != nil {
		return out, err
	}
	_ = json.Unmarshal(out.body, &out.problem) // not every body is one
	return out, nil
}

// ask is do for a client that stays.
func (w *watched) ask(method, path, body string, header ...string) told {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	out, err := w.do(ctx, method, path, body, header...)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// start begins a conversation and gives its id.
func (w *watched) start() string {
	w.t.Helper()
	a := w.ask("POST", "/api/chat/start", "")
	if a.status != http.StatusOK {
		w.t.Fatalf("start: %d %s", a.status, a.body)
	}
	return a.Conversation
}

// send says something in a conversation that may not exist.
func (w *watched) send(id, text string) told {
	w.t.Helper()
	body, _ := json.Marshal(map[string]string{"conversationId": id, "text": text})
	return w.ask("POST", "/api/chat/send", string(body))
}

// lines are those of the log that tell of requests.
func (w *watched) lines() []map[string]any {
	w.t.Helper()
	var out []map[string]any
	for text := range strings.Lines(w.log.String()) {
		var l map[string]any
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			w.t.Fatalf("not a line of JSON: %s", text)
		}
		if l["msg"] == "request" {
			out = append(out, l)
		}
	}
	return out
}

// nobody is the id of no conversation.
func nobody() string { return uuid.NewString() }
