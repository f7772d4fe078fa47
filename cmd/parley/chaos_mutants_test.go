package main

import (
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"parley/contracttest/mutants"
	"parley/store"
)

// asReplica makes the test binary be the program, with one of chaosMutants as its
// store, and with a clock that is clockAhead of the others'.
const (
	asReplica  = "PARLEY_TEST_REPLICA"
	clockAhead = "PARLEY_TEST_CLOCK_AHEAD"
)

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
			t.Parallel() // beside the others, but not beside the one that is held to something
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

// replicaMain is the program around a store that may be wrong.
func replicaMain(name string) {
	if err := runReplica(chaosMutants()[name]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func runReplica(wrap func(store.Store) store.Store) error {
	c, err := load(processEnvironment())
	if err != nil {
		return err
	}
	with := seams{store: wrap}
	if ahead := os.Getenv(clockAhead); ahead != "" {
		by, err := time.ParseDuration(ahead)
		if err != nil {
			return err
		}
		with.clock = func() time.Time { return time.Now().Add(by) }
	}
	return serve(untilSignal(syscall.SIGTERM), c, with, os.Stdout, io.Discard)
}
