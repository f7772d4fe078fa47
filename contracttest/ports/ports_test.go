package ports

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

// Whoever claims a port has it alone.
func TestClaim(t *testing.T) {
	const claimed = 300
	var mu sync.Mutex
	all := map[string]bool{}
	var claiming sync.WaitGroup
	for range claimed {
		claiming.Go(func() {
			p := Of(t)
			mu.Lock()
			defer mu.Unlock()
			all[p.Addr] = true
		})
	}
	claiming.Wait()
	if len(all) != claimed {
		t.Errorf("%d ports for %d who claimed one", len(all), claimed)
	}
}

// Its owner can listen at once, whatever processes are started meanwhile: they have copies
// of all that is open for a moment.
func TestListenWhileProcessesStart(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	var starting sync.WaitGroup
	defer starting.Wait()
	defer stop()
	for range 4 {
		starting.Go(func() {
			for ctx.Err() == nil {
				_ = exec.CommandContext(ctx, os.Args[0], "-test.run=^$").Run()
			}
		})
	}
	for range 300 {
		p, err := Claim(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", p.Addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		p.Release()
	}
}

// A port is free again when its owner gives it back, and only then; and never where a
// program listens.
func TestRelease(t *testing.T) {
	p := Of(t)
	number, err := strconv.Atoi(p.Number)
	if err != nil {
		t.Fatal(err)
	}
	taken := func(when string, by error) {
		t.Helper()
		if again, err := claim(t.Context(), number); !errors.Is(err, by) {
			t.Errorf("%s: %v, %v", when, again, err)
		}
	}
	taken("claimed", syscall.EADDRINUSE)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", p.Addr)
	if err != nil {
		t.Fatalf("its owner cannot listen: %v", err)
	}
	taken("claimed, with a listener", syscall.EADDRINUSE)
	p.Release()
	p.Release()
	taken("released, with a listener", errTaken)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := claim(t.Context(), number)
	if err != nil {
		t.Fatalf("released: %v", err)
	}
	again.Release()
}
