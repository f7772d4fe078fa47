package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"
	"time"

	"parley/server"
	"parley/server/auth"
	"parley/store"
)

// asMutant makes the test binary be the program with a store that is wrong.
const asMutant = "PARLEY_TEST_MUTANT"

// right is the mutant that is none: it must pass where the others fail.
const right = "right"

// chaosMutants are stores that lose what was acknowledged, or say it twice.
func chaosMutants() map[string]func(store.Store) store.Store {
	return map[string]func(store.Store) store.Store{
		right:                               func(s store.Store) store.Store { return s },
		"fence dropped":                     func(s store.Store) store.Store { return &unfenced{s} },
		"commit acknowledged before stored": func(s store.Store) store.Store { return &hasty{s} },
		"queue read from": func(s store.Store) store.Store {
			return &serving{Store: s, keys: map[string]string{}, answers: map[string]store.Outcome{}}
		},
	}
}

// Each is found out within three runs.
func TestChaosMutants(t *testing.T) {
	if os.Getenv(chaosSeconds) == "" {
		t.Skip("takes minutes: make chaos runs it")
	}
	for name := range chaosMutants() {
		t.Run(name, func(t *testing.T) {
			if name == right {
				chaos(t, 0, 20*time.Second, name, (*arena).something).report(t, 20)
				return
			}
			for seed := range uint64(3) {
				if c := chaos(t, seed, 20*time.Second, name, (*arena).something); len(c.broken) > 0 {
					t.Log(c.broken[0])
					return
				}
			}
			t.Error("it was not found out")
		})
	}
}

// mutantMain is the program around a wrong store.
func mutantMain(name string) {
	if err := runMutant(chaosMutants()[name]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func runMutant(mutate func(store.Store) store.Store) error {
	c, err := load(os.Getenv)
	if err != nil {
		return err
	}
	tel, _, flush, err := openTelemetry(context.Background(), c, io.Discard)
	if err != nil {
		return err
	}
	defer flush()
	log := slog.New(slog.DiscardHandler)
	kept, err := openStore(c, tel, log)
	if err != nil {
		return err
	}
	agent, _, end, err := openAgent(c, tel)
	if err != nil {
		return err
	}
	defer end()
	health := server.NewHealth(server.HealthConfig{Backend: kept.backend, Ping: kept.Ping})
	api, err := newServer(c, mutate(kept.Store), agent, auth.Anyone{}, health, log, tel)
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("listening on http://%s\n", l.Addr()) //nolint:forbidigo // it is what the program prints
	web, conns := newWeb(api, c.maxConnections, log)
	go func() { _ = web.Serve(l) }() // ends with stop
	<-ctx.Done()
	return stop(context.Background(), c.shutdownTimeout, api, web, conns)
}

// unfenced stores the answer of a turn that was taken over.
type unfenced struct{ store.Store }

func (u *unfenced) CompleteTurn(ctx context.Context, t store.Turn, c store.Completion) error {
	err := u.Store.CompleteTurn(ctx, t, c)
	if !errors.Is(err, store.ErrStale) {
		return err
	}
	turn, err := u.BeginTurn(ctx, store.Begin{Owner: t.Owner, Conversation: t.Conversation, Fingerprint: t.Token})
	if err != nil {
		return err
	}
	return u.Store.CompleteTurn(ctx, turn, c)
}

// hasty acknowledges what it could not store.
type hasty struct{ store.Store }

func (h *hasty) CompleteTurn(ctx context.Context, t store.Turn, c store.Completion) error {
	err := h.Store.CompleteTurn(ctx, t, c)
	if _, ok := errors.AsType[*store.Error](err); ok {
		go func() { _ = h.Store.CompleteTurn(context.WithoutCancel(ctx), t, c) }()
		return nil
	}
	return err
}

// serving answers a repeat with what it could not store.
type serving struct {
	store.Store
	mu      sync.Mutex
	keys    map[string]string // by token
	answers map[string]store.Outcome
}

func (s *serving) BeginTurn(ctx context.Context, b store.Begin) (store.Turn, error) {
	s.mu.Lock()
	o, ok := s.answers[b.Key]
	s.mu.Unlock()
	if ok && b.Key != "" {
		return store.Turn{Owner: b.Owner, Conversation: b.Conversation, Replay: &o}, nil
	}
	t, err := s.Store.BeginTurn(ctx, b)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[t.Token] = b.Key
	return t, err
}

func (s *serving) CompleteTurn(ctx context.Context, t store.Turn, c store.Completion) error {
	s.mu.Lock()
	key := s.keys[t.Token]
	_, known := s.answers[key]
	s.mu.Unlock()
	if known {
		return nil
	}
	err := s.Store.CompleteTurn(ctx, t, c)
	if _, ok := errors.AsType[*store.Error](err); ok && key != "" {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.answers[key] = c.Outcome
	}
	return err
}
