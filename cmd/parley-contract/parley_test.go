package main

import (
	"errors"
	"flag"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/contracttest/redistest"
)

var (
	quickRuns = flag.Bool("contract.quick", false, "try the command with --quick on this repository's service, on Redis and in memory, not a sample of it")
	reportDir = flag.String("contract.report", "", "directory to write the reports of those runs to")
)

// parley builds the service. With the settings of the tests, so that what they have
// built is built once.
func parley(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "parley")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", path, "parley/cmd/parley")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the service: %v\n%s", err, out)
	}
	return path
}

// sampled are tried on the service by every test run: a rule of each way to wire it.
var sampled = []string{
	"shape.send", "owner.read", "stream.send", "restart.kept", "instances.shared", "signal.span-agent", "refused/POST /api/chat/send", "agent-500/POST /api/chat/send",
}

// The command finds nothing wrong with the service of this repository: on Redis and in
// memory.
func TestOnParley(t *testing.T) {
	server := parley(t)
	for _, store := range []string{onRedis, inMemory} {
		t.Run(store, func(t *testing.T) {
			if store == onRedis {
				redistest.Start(t) // skips, or fails, where there is none
			}
			args := []string{"run", "--store", store}
			if *quickRuns {
				args = append(args, "--quick")
			} else {
				for _, id := range sampled {
					args = append(args, "--only", id)
				}
			}
			if *reportDir != "" {
				args = append(args, "--report", filepath.Join(*reportDir, "parley-"+store))
			}
			began := time.Now()
			got := command(t, append(args, "--", server)...)
			if got.status != 0 {
				t.Errorf("status %d after %v\n%s", got.status, time.Since(began), got.out)
			}
			if tried := strings.Count(got.errors, "] ok "); tried < 3 {
				t.Errorf("only %d rules were tried:\n%s", tried, got.errors)
			}
			t.Logf("took %v", time.Since(began))
		})
	}
}

// A Redis of somebody's is used, and is not stopped; a redis-server is started where
// one is installed.
func TestOtherRedis(t *testing.T) {
	shared := redistest.Start(t)
	server := parley(t)
	got := command(t, "run", "--redis-url", shared.URL(), "--redis-may-be-flushed", "--only", "shape.send", "--only", "full/POST /api/chat/send", "--", server)
	if got.status != 0 || !strings.Contains(got.out, "skipped, it needs a Redis of its own") || !strings.Contains(got.out, "1 passed") {
		t.Errorf("%d %s", got.status, got.all())
	}
	if got := command(t, "run", "--redis-url", "redis://127.0.0.1:1", "--redis-may-be-flushed", "--", server); got.status != 2 || !strings.Contains(got.errors, "--redis-url") {
		t.Errorf("a Redis that is not there: %d %s", got.status, got.all())
	}
	path, err := exec.LookPath("redis-server")
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("no redis-server is installed here")
	}
	if got := command(t, "run", "--redis-server", path, "--only", "shape.send", "--only", "full/POST /api/chat/send", "--", server); got.status != 0 || !strings.Contains(got.out, "2 passed") {
		t.Errorf("%d %s", got.status, got.all())
	}
}
