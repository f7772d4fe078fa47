package ports

import (
	"errors"
	"net"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

// Whoever claims a port has it alone, whether or not somebody listens there.
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

// A port is free again when its owner gives it back, and only then; and never where a
// program listens.
func TestRelease(t *testing.T) {
	p := Of(t)
	number, err := strconv.Atoi(p.Number)
	if err != nil {
		t.Fatal(err)
	}
	taken := func(when string) {
		t.Helper()
		if again, err := claim(t.Context(), number); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("%s: %v, %v", when, again, err)
		}
	}
	taken("claimed")
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", p.Addr)
	if err != nil {
		t.Fatalf("its owner cannot listen: %v", err)
	}
	taken("claimed, with a listener")
	p.Release()
	p.Release()
	taken("released, with a listener")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := claim(t.Context(), number)
	if err != nil {
		t.Fatalf("released: %v", err)
	}
	again.Release()
}
