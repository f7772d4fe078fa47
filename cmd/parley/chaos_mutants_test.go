package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"parley/contracttest/mutants"
	"parley/server"
	"parley/server/auth"
	"parley/store"
)

// asMutant makes the test binary be the program with a store that is wrong.
const asMutant = "PARLEY_TEST_MUTANT"

// right is the mutant that is none: it must pass where the others fail.
const right = "right"

// chaosMutants are the stores that the chaos test must find.
func chaosMutants() map[string]func(store.Store) store.Store {
	all := map[string]func(store.Store) store.Store{right: func(s store.Store) store.Store { return s }}
	for _, m := range mutants.All() {
		if m.Chaos {
			all[m.Name] = func(s store.Store) store.Store { return m.Break(s, mutants.Options{}) }
		}
	}
	return all
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
