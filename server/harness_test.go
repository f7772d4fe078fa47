package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/server/turn"
	"parley/store"
	"parley/store/memory"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// epoch is when every test takes place.
var epoch = time.Date(2026, 3, 2, 9, 15, 4, 120e6, time.UTC)

// harness is a server with a fake agent, a counting store, and its log.
type harness struct {
	t      *testing.T
	server *Server
	agent  *fakeAgent
	store  *countingStore
	health *Health
	logs   *lockedBuffer
	// bare says that a test makes up errors of classes that have several reasons, without
	// one.
	bare bool

	mu   sync.Mutex
	done []Done
}

func (w *harness) lastDone() Done {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.done[len(w.done)-1]
}

func (w *harness) allDone() []Done {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Done{}, w.done...)
}

// harnessTraceparent is what every answer of a harness names as its trace.
const harnessTraceparent = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"

// hashOf stands for the keyed hash of an owner.
func hashOf(tenant, user string) string {
	sum := sha256.Sum256([]byte(tenant + " " + user))
	return hex.EncodeToString(sum[:8])
}

// newHarness makes a server on an empty memory store. Ids count up, and the clock
// stands still unless a test sets Config.Now.
func newHarness(t *testing.T, agent *fakeAgent, change ...func(*Config)) *harness {
	t.Helper()
	if agent == nil {
		agent = &fakeAgent{}
	}
	now := func() time.Time { return epoch }
	var mu sync.Mutex
	n := 0
	w := &harness{t: t, agent: agent, store: &countingStore{}, logs: &lockedBuffer{}}
	cfg := Config{
		Agent: agent, Store: w.store, Now: now,
		Log:         slog.New(slog.NewJSONHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Traceparent: func(context.Context) string { return harnessTraceparent },
		OwnerHash:   func(o store.Owner) string { return hashOf(o.Tenant, o.User) },
		NewID: func() string {
			mu.Lock()
			defer mu.Unlock()
			n++
			return fmt.Sprintf("00000000-0000-7000-8000-%012d", n)
		},
		OnDone: func(_ context.Context, d Done) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.done = append(w.done, d)
			// The agent's client says how far it came, and this agent is none. Of a failure
			// that another instance had, nobody knows.
			bare := w.bare || d.Class == classUpstreamTimeout || d.Class == classUnreachable
			if reasons := Reasons()[d.Class]; (len(reasons) > 0 && !bare || d.Reason != "") && !slices.Contains(reasons, d.Reason) {
				t.Errorf("%s for the reason %q", d.Class, d.Reason)
			}
		},
	}
	for _, f := range change {
		f(&cfg)
	}
	w.store.Store = memory.New(memory.Options{Now: cfg.Now})
	if cfg.Health == nil {
		cfg.Health = NewHealth(HealthConfig{Backend: "memory", Ping: w.store.Ping, Version: "test", Now: cfg.Now})
		cfg.Health.Probe(t.Context())
	}
	w.health = cfg.Health
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.server = s
	t.Cleanup(func() {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Shutdown(over) // what still runs or waits has no time left
	})
	return w
}

// call is one request.
type call struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    string            `json:"body,omitempty"`
}

func post(path, body string) call {
	return call{Method: "POST", Path: path, Body: body, Headers: map[string]string{"Content-Type": "application/json"}}
}

func get(path string) call { return call{Method: "GET", Path: path} }

func (c call) with(name, value string) call {
	headers := map[string]string{name: value}
	for k, v := range c.Headers {
		if k != name {
			headers[k] = v
		}
	}
	c.Headers = headers
	return c
}

func (c call) request(ctx context.Context) *http.Request {
	var body io.Reader
	if c.Body != "" {
		body = strings.NewReader(c.Body)
	}
	r := httptest.NewRequestWithContext(ctx, c.Method, c.Path, body)
	r.Header.Set("Traceparent", "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")
	r.Header.Set("X-Request-Id", "req-1")
	for name, value := range c.Headers {
		r.Header.Set(name, value)
	}
	return r
}

// noAnswer is the status of an answer of which nothing was written.
const noAnswer = 0

// answerOf has a handler answer a request. cut reports whether the connection was cut.
func answerOf(h http.Handler, r *http.Request) (rec *httptest.ResponseRecorder, cut bool) {
	rec = httptest.NewRecorder()
	rec.Code = noAnswer
	defer func() {
		if v := recover(); v != nil {
			if cut = aborts(v); !cut {
				panic(v)
			}
		}
	}()
	h.ServeHTTP(rec, r)
	return rec, false
}

// do carries one request out.
func (w *harness) do(c call) *httptest.ResponseRecorder {
	w.t.Helper()
	rec := httptest.NewRecorder()
	w.server.ServeHTTP(rec, c.request(w.t.Context()))
	recorded(w.t.Context(), w.t, c, rec)
	return rec
}

// start starts a conversation and gives its id.
func (w *harness) start() string {
	w.t.Helper()
	return field[string](w.t, w.must(200, post("/api/chat/start", "{}")), "conversationId")
}

// must carries out a request that has to be answered with status.
func (w *harness) must(status int, c call) *httptest.ResponseRecorder {
	w.t.Helper()
	rec := w.do(c)
	if rec.Code != status {
		w.t.Fatalf("%s %s: status %d, want %d: %s", c.Method, c.Path, rec.Code, status, rec.Body)
	}
	return rec
}

func send(id, text string) call {
	return post("/api/chat/send", fmt.Sprintf(`{"conversationId":%q,"text":%q}`, id, text))
}

// history gives the whole conversation.
func (w *harness) history(id string) store.Conversation {
	w.t.Helper()
	c, err := w.store.Conversation(w.t.Context(), store.Owner{Tenant: store.DefaultTenant, User: store.DefaultUser}, id, store.Range{})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// field reads one member of a JSON answer.
func field[T any](t testing.TB, rec *httptest.ResponseRecorder, name string) T {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(rec.Body.Bytes(), &members); err != nil {
		t.Fatalf("%v in %s", err, rec.Body)
	}
	var v T
	if raw, ok := members[name]; !ok {
		t.Fatalf("no member %q in %s", name, rec.Body)
	} else if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// goldenAnswer is an answer as a golden file keeps it.
type goldenAnswer struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body,omitempty"`
}

func goldenOf(t *testing.T, rec *httptest.ResponseRecorder) goldenAnswer {
	t.Helper()
	a := goldenAnswer{Status: rec.Code, Headers: map[string]string{}}
	for name, values := range rec.Header() {
		if name == "Traceparent" {
			continue // on every answer; openapi.yaml requires it
		}
		a.Headers[name] = strings.Join(values, "; ")
	}
	if rec.Body.Len() > 0 {
		a.Body = rec.Body.Bytes()
		if !json.Valid(a.Body) {
			t.Fatalf("not JSON: %s", a.Body)
		}
	}
	return a
}

// golden compares v with a file below testdata.
func golden(t *testing.T, file string, v any) {
	t.Helper()
	raw, err := turn.EncodeJSON(v)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join("..", "testdata", filepath.FromSlash(file))
	if *update {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, b.Bytes()) {
		t.Errorf("%s differs (run with -update and read the diff):\n%s", file, b.Bytes())
	}
}

// onlyGoldens fails when a directory of golden files holds one that no test
// made, or lacks one.
func onlyGoldens(t *testing.T, dir string, names map[string]bool) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "testdata", dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".json")
		found[name] = true
		if !names[name] {
			t.Errorf("testdata/%s/%s.json belongs to nothing", dir, name)
		}
	}
	for name := range names {
		if !found[name] {
			t.Errorf("testdata/%s/%s.json is missing", dir, name)
		}
	}
}

// lockedBuffer is a bytes.Buffer for many goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
