package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/contracttest/matrix"
	"parley/contracttest/redistest"
	"parley/server"
	"parley/server/auth"
	"parley/server/copilot"
	"parley/store"
	"parley/store/memory"
)

// mutant is a service with a fault of its own.
type mutant struct {
	about  string // what is wrong with it
	row    string // the row of the matrix that finds it
	column string // and the column

	store   func(store.Store) store.Store
	agent   func(copilot.Agent) copilot.Agent
	handler func(http.Handler) http.Handler
	timeout time.Duration // in place of what it is told
}

// matrixMutants are the ways in which services like this one go wrong, each with the
// cell that finds it.
func matrixMutants() []mutant {
	const start, send, read = "POST /api/chat/start", "POST /api/chat/send", "GET /api/chat/conversations/{id}"
	return []mutant{
		{about: "falls back to memory", row: "refused", column: start, store: fallsBack},
		{about: "answers 502 for everything that broke", row: "refused", column: send, handler: all502},
		{about: "takes a network error of Redis for the agent's", row: "refused", column: send, store: outages(func(err error) error {
			return &copilot.Error{Op: "turn", Kind: copilot.ErrUnreachable, Cause: err}
		})},
		{about: "takes a network error of the agent for that of Redis", row: "agent-refused", column: send, agent: func(a copilot.Agent) copilot.Agent { return confused{a} }},
		{about: "hides an outage as not found", row: "lost-request", column: read, store: outages(func(error) error { return store.ErrNotFound })},
		{about: "sends again what may have run", row: "closed-after", column: send, store: repeats},
		{about: "ignores the deadline", row: "lost-reply", column: send, timeout: 3 * matrix.Timeout},
		{about: "drops the fence", row: "runner-paused", column: send, store: func(s store.Store) store.Store { return fenceless{s} }},
		{about: "takes a reply of the wrong shape for an answer", row: "wrong-shape-empty", column: send, store: func(s store.Store) store.Store { return credulous{s} }},
		{about: "never closes its breaker", row: "refused", column: send, store: func(s store.Store) store.Store { return &stuck{Store: s} }},
		{about: "tells how it is from a probe that is long over", row: "refused", column: "GET /health, /readyz, /livez", handler: staleHealth},
		{about: "acknowledges and forgets", row: "slow", column: send, store: func(s store.Store) store.Store { return forgetful{s} }},
		{about: "cannot be told from a healthy one by /readyz", row: "evicts", column: "GET /health, /readyz, /livez", handler: noWarnings},
	}
}

// Each mutant breaks the promise of the cell that names it.
func TestMatrixMutants(t *testing.T) {
	shared := redistest.Start(t)
	for _, m := range matrixMutants() {
		t.Run(strings.ReplaceAll(m.about, " ", "-"), func(t *testing.T) {
			t.Parallel()
			for _, c := range m.run(t, shared) {
				if c.Column != m.column {
					continue
				}
				if !c.Failed() {
					t.Errorf("%s: nothing found", c)
				}
				t.Logf("%s", c.Explain())
				return
			}
			t.Errorf("there is no cell %s × %s", m.row, m.column)
		})
	}
}

// run checks the mutant's row.
func (m mutant) run(t *testing.T, shared *redistest.Server) []matrix.Cell {
	t.Helper()
	target := matrix.Target{Class: server.Class, Service: m.serve, Store: func(tb testing.TB, w matrix.Wiring) store.Store {
		tb.Helper()
		return openRedis(tb, w)
	}}
	for _, r := range matrix.Rows() {
		if r.ID == m.row {
			return matrix.Run(t, target, shared, r, false, 1)
		}
	}
	for _, r := range matrix.UpstreamRows() {
		if r.ID == m.row {
			return matrix.RunUpstream(t, target, shared.URL(), r)
		}
	}
	return nil
}

// serve wires a service as the program does, with the fault in it.
func (m mutant) serve(tb testing.TB, w matrix.Wiring) string {
	tb.Helper()
	if m.timeout != 0 {
		w.Timeout = m.timeout
	}
	c, err := load(env(append(pairs(w), "AUTH_REQUIRED", "false")...))
	if err != nil {
		tb.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	tel, _, flush, err := openTelemetry(tb.Context(), c, io.Discard)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(flush)
	kept, err := openStore(c, tel, log)
	if err != nil {
		tb.Fatal(err)
	}
	agent, _, endAgent, err := openAgent(c, tel)
	if err != nil {
		tb.Fatal(err)
	}
	if m.store != nil {
		kept.Store = m.store(kept.Store)
	}
	if m.agent != nil {
		agent = m.agent(agent)
	}
	health := server.NewHealth(server.HealthConfig{Backend: kept.backend, Ping: kept.Ping, Warnings: kept.warnings})
	api, err := newServer(c, kept.Store, agent, auth.Anyone{}, health, log, tel)
	if err != nil {
		tb.Fatal(err)
	}
	var handler http.Handler = api
	if m.handler != nil {
		handler = m.handler(api)
	}
	stopProbes := background(context.WithoutCancel(tb.Context()), health.Run)
	stopWatch := background(context.WithoutCancel(tb.Context()), kept.watch)
	web := httptest.NewServer(handler)
	tb.Cleanup(func() {
		web.Close()
		stopWatch()
		stopProbes()
		endAgent()
		_ = kept.Close()
	})
	return web.URL
}

// isOutage reports whether the store, and not a caller, is at fault.
func isOutage(err error) bool { return errors.As(err, new(*store.Error)) }

// changed is a store whose begin, complete and read go through functions.
type changed struct {
	store.Store
	begin    func(context.Context, store.Begin) (store.Turn, error)
	complete func(context.Context, store.Turn, store.Completion) error
	read     func(context.Context, store.Owner, string, int) (store.Conversation, error)
}

func (c changed) BeginTurn(ctx context.Context, b store.Begin) (store.Turn, error) {
	return c.begin(ctx, b)
}

func (c changed) CompleteTurn(ctx context.Context, t store.Turn, d store.Completion) error {
	return c.complete(ctx, t, d)
}

func (c changed) Conversation(ctx context.Context, o store.Owner, id string, after int) (store.Conversation, error) {
	return c.read(ctx, o, id, after)
}

func fallsBack(s store.Store) store.Store {
	m := memory.New(memory.Options{})
	return changed{
		Store: s,
		begin: func(ctx context.Context, b store.Begin) (store.Turn, error) {
			t, err := s.BeginTurn(ctx, b)
			if isOutage(err) {
				return m.BeginTurn(ctx, b)
			}
			return t, err
		},
		complete: func(ctx context.Context, t store.Turn, d store.Completion) error {
			err := s.CompleteTurn(ctx, t, d)
			if isOutage(err) {
				return m.CompleteTurn(ctx, t, d)
			}
			return err
		},
		read: s.Conversation,
	}
}

// outages gives every outage another face.
func outages(face func(error) error) func(store.Store) store.Store {
	change := func(err error) error {
		if isOutage(err) {
			return face(err)
		}
		return err
	}
	return func(s store.Store) store.Store {
		return changed{
			Store: s,
			begin: func(ctx context.Context, b store.Begin) (store.Turn, error) {
				t, err := s.BeginTurn(ctx, b)
				return t, change(err)
			},
			complete: func(ctx context.Context, t store.Turn, d store.Completion) error {
				return change(s.CompleteTurn(ctx, t, d))
			},
			read: func(ctx context.Context, o store.Owner, id string, after int) (store.Conversation, error) {
				c, err := s.Conversation(ctx, o, id, after)
				return c, change(err)
			},
		}
	}
}

func repeats(s store.Store) store.Store {
	return changed{
		Store: s,
		begin: func(ctx context.Context, b store.Begin) (t store.Turn, err error) {
			for range 3 {
				if t, err = s.BeginTurn(ctx, b); !isOutage(err) {
					break
				}
			}
			return t, err
		},
		complete: s.CompleteTurn, read: s.Conversation,
	}
}

type confused struct{ copilot.Agent }

func (c confused) Turn(ctx context.Context, t copilot.Turn) iter.Seq2[copilot.Event, error] {
	return func(yield func(copilot.Event, error) bool) {
		for e, err := range c.Agent.Turn(ctx, t) {
			if err != nil {
				err = &store.Error{Op: "BeginTurn", Kind: store.ErrUnreachable, Cause: err}
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

type fenceless struct{ store.Store }

func (f fenceless) CompleteTurn(ctx context.Context, t store.Turn, d store.Completion) error {
	err := f.Store.CompleteTurn(ctx, t, d)
	if !errors.Is(err, store.ErrStale) {
		return err
	}
	own, err := f.BeginTurn(ctx, store.Begin{Owner: t.Owner, Conversation: t.Conversation, Fingerprint: uuid.NewString()})
	if err != nil {
		return err
	}
	return f.Store.CompleteTurn(ctx, own, d)
}

type credulous struct{ store.Store }

func (c credulous) BeginTurn(ctx context.Context, b store.Begin) (store.Turn, error) {
	t, err := c.Store.BeginTurn(ctx, b)
	if errors.Is(err, store.ErrProtocol) {
		return store.Turn{Owner: b.Owner, Conversation: b.Conversation, Number: 1, UpstreamID: "u"}, nil
	}
	return t, err
}

type stuck struct {
	store.Store
	open atomic.Bool
}

func (s *stuck) BeginTurn(ctx context.Context, b store.Begin) (t store.Turn, err error) {
	if s.open.Load() {
		return t, &store.Error{Op: "BeginTurn", Kind: store.ErrUnreachable, Reason: "circuit breaker is open"}
	}
	t, err = s.Store.BeginTurn(ctx, b)
	if isOutage(err) {
		s.open.Store(true)
	}
	return t, err
}

type forgetful struct{ store.Store }

func (f forgetful) CompleteTurn(ctx context.Context, t store.Turn, d store.Completion) error {
	d.Messages = nil
	return f.Store.CompleteTurn(ctx, t, d)
}

// recorded is the answer of a handler, to be changed before it is sent.
func recorded(h http.Handler, change func(*http.Request, *httptest.ResponseRecorder) *httptest.ResponseRecorder) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		rec = change(r, rec)
		for name, values := range rec.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	})
}

func all502(h http.Handler) http.Handler {
	return recorded(h, func(_ *http.Request, rec *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		if rec.Code >= 500 {
			rec.Code = http.StatusBadGateway
		}
		return rec
	})
}

func staleHealth(h http.Handler) http.Handler {
	var mu sync.Mutex
	good := map[string]*httptest.ResponseRecorder{}
	return recorded(h, func(r *http.Request, rec *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		mu.Lock()
		defer mu.Unlock()
		if rec.Code == http.StatusOK {
			good[r.URL.Path] = rec
		}
		if old := good[r.URL.Path]; old != nil && r.Method == http.MethodGet {
			return old
		}
		return rec
	})
}

func noWarnings(h http.Handler) http.Handler {
	return recorded(h, func(_ *http.Request, rec *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		rec.Body = bytes.NewBuffer(bytes.ReplaceAll(rec.Body.Bytes(), []byte("allkeys-lru"), nil))
		return rec
	})
}
