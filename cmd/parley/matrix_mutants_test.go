package main

import (
	"bytes"
	"context"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/contracttest/matrix"
	"parley/contracttest/mutants"
	"parley/contracttest/redistest"
	"parley/server"
	"parley/server/copilot"
	"parley/store"
	"parley/store/memory"
)

// mutant is a service with a fault of its own.
type mutant struct {
	about  string // what is wrong with it
	row    string // the row of the matrix that finds it
	column string // and the column

	store    func(store.Store) store.Store
	agent    func(copilot.Agent) copilot.Agent
	handler  func(http.Handler) http.Handler
	patience time.Duration // of its store, times what it is told; 0 for 1
}

// matrixMutants are the ways in which services like this one go wrong, each with the
// cell that finds it: the broken stores, and what else can be broken in a service.
func matrixMutants() []mutant {
	const send = "POST /api/chat/send"
	all := []mutant{
		{about: "answers 502 for everything that broke", row: "refused", column: send, handler: all502},
		{about: "takes a network error of the agent for that of Redis", row: "agent-refused", column: send, agent: func(a copilot.Agent) copilot.Agent { return confused{a} }},
		{about: "ignores the deadline", row: "lost-reply", column: send, patience: 3},
		{about: "tells how it is from a probe that is long over", row: "refused", column: "GET /health, /readyz, /livez", handler: staleHealth},
		{about: "cannot be told from a healthy one by /readyz", row: "evicts", column: "GET /health, /readyz, /livez", handler: noWarnings},
	}
	for _, m := range mutants.All() {
		for _, c := range m.Cells {
			all = append(all, mutant{about: m.Name, row: c.Row, column: c.Column, store: func(s store.Store) store.Store {
				return m.Break(s, mutants.Options{
					Memory: func() store.Store { return memory.New(memory.Options{}) },
					AgentError: func(cause error) error {
						return &copilot.Error{Op: "turn", Kind: copilot.ErrUnreachable, Cause: cause}
					},
				})
			}})
		}
	}
	return all
}

// Each mutant breaks the promise of the cell that names it.
func TestMatrixMutants(t *testing.T) {
	if !*allRows {
		t.Skip("takes a minute: make contract runs it")
	}
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
	target := matrix.Target{Class: server.Class, Service: m.serve, Store: func(tb testing.TB, w matrix.Settings) store.Store {
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

// serve runs the program with the fault in it.
func (m mutant) serve(tb testing.TB, w matrix.Settings) string {
	tb.Helper()
	w.Timeout *= max(1, m.patience)
	return startWith(tb, seams{store: m.store, agent: m.agent, api: m.handler}, pairs(w)...)
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
