package main

import (
	"errors"
	"math"
	"os"
	"runtime/debug"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// The collector's limit is 90 % of the container's, unless GOMEMLIMIT or AUTOMEMLIMIT say
// otherwise, and it stays as it is where the container's cannot be read.
func TestLimitMemory(t *testing.T) {
	const before, container = 1 << 40, 256 << 20
	for _, c := range []struct {
		name      string
		container memlimit.Provider
		goLimit   string // of GOMEMLIMIT; "" for none
		auto      string // of AUTOMEMLIMIT; likewise
		want      int64
	}{
		{"a container", memlimit.Limit(container), "", "", container * 9 / 10},
		{"GOMEMLIMIT wins", memlimit.Limit(container), "1TiB", "", before},
		{"AUTOMEMLIMIT is another share", memlimit.Limit(container), "", "0.5", container / 2},
		{"AUTOMEMLIMIT is off", memlimit.Limit(container), "", "off", before},
		{"no container", func() (uint64, error) { return 0, memlimit.ErrNoLimit }, "", "", math.MaxInt64},
		{"one that cannot be read", func() (uint64, error) { return 0, errors.New("unreadable") }, "", "", before},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, value := range map[string]string{"GOMEMLIMIT": c.goLimit, "AUTOMEMLIMIT": c.auto} {
				t.Setenv(name, value) // which puts back what was there
				if value == "" {
					_ = os.Unsetenv(name)
				}
			}
			was := debug.SetMemoryLimit(before)
			defer debug.SetMemoryLimit(was)
			limitMemory(c.container)
			if got := debug.SetMemoryLimit(-1); got != c.want {
				t.Errorf("the limit is %d, want %d", got, c.want)
			}
		})
	}
}

// The program itself sets the limit when it serves.
func TestProgramLimitsMemory(t *testing.T) {
	was := debug.SetMemoryLimit(12345 << 20)
	defer debug.SetMemoryLimit(was)
	t.Setenv("GOMEMLIMIT", "")
	_ = os.Unsetenv("GOMEMLIMIT")
	limit, err := memlimit.FromCgroup()
	if errors.Is(err, memlimit.ErrNoLimit) {
		limit, err = math.MaxInt64, nil
	} else {
		limit = uint64(float64(limit) * 0.9)
	}
	if err != nil {
		t.Skipf("this machine's cgroup cannot be read: %v", err)
	}
	startService(t, &sharedBuffer{}, "COPILOT_EMULATOR", "true")
	if got := debug.SetMemoryLimit(-1); got != int64(limit) {
		t.Errorf("the limit is %d, and the container's share %d", got, limit)
	}
}
