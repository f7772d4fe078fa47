// Package runner runs checks that take a testing.TB outside of go test, so that a
// command can use the same rules as the tests.
//
// It does what the testing package does with a test: the check has a goroutine of
// its own, which Fatal and Skip end; what it registered with Cleanup runs after it,
// the last first; its context is done before that; its directories are removed.
package runner

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
)

// MaxLog bounds what is kept of a check's log, in bytes. The oldest lines go first.
const MaxLog = 64 << 10

// maxFailures bounds the failures that are kept of a check, and maxFailure the bytes
// of one.
const (
	maxFailures = 100
	maxFailure  = 16 << 10
)

// Outcome is how a check ended.
type Outcome struct {
	Failures []string // what was wrong, in the order in which it was found; at most 100
	Skipped  string   // why it was skipped; empty if it was not
	Failed   bool     // it may have failed without a word
	Log      string   // its last lines
}

// Run runs f and returns when it has ended and everything has been cleaned up. The
// check's context is a child of ctx.
func Run(ctx context.Context, name string, f func(tb testing.TB)) Outcome {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t := &tb{name: name, ctx: ctx}
	t.call(func() { f(t) })
	cancel()
	for {
		next := t.lastCleanup()
		if next == nil {
			break
		}
		t.call(next)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return Outcome{Failures: t.failures, Skipped: t.reason, Failed: t.failed, Log: strings.Join(t.lines, "\n")}
}

// tb is a testing.TB. It embeds the interface because only the testing package can
// implement it from nothing; every method that is not below panics, which fails the
// check.
type tb struct {
	testing.TB
	name string
	ctx  context.Context

	mu       sync.Mutex
	cleanups []func()
	failures []string
	failed   bool
	skipped  bool
	reason   string
	lines    []string
	size     int // of lines, in bytes
}

// call runs f on a goroutine that it may end, and makes a failure of a panic.
func (t *tb) call(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				t.fail(fmt.Sprintf("a panic: %v\n%s", p, debug.Stack()))
			}
		}()
		f()
	}()
	<-done
}

func (t *tb) lastCleanup() func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.cleanups)
	if n == 0 {
		return nil
	}
	last := t.cleanups[n-1]
	t.cleanups = t.cleanups[:n-1]
	return last
}

func (t *tb) fail(what string) {
	what = strings.TrimSuffix(what, "\n")
	if len(what) > maxFailure {
		what = what[:maxFailure] + " …"
	}
	t.log(what)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = true
	if len(t.failures) < maxFailures {
		t.failures = append(t.failures, what)
	}
}

func (t *tb) log(what string) {
	what = strings.TrimSuffix(what, "\n")
	if len(what) > MaxLog {
		what = what[len(what)-MaxLog:]
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines, t.size = append(t.lines, what), t.size+len(what)+1
	for t.size > MaxLog && len(t.lines) > 1 {
		t.size -= len(t.lines[0]) + 1
		t.lines = t.lines[1:]
	}
}

func (t *tb) skip(why string) {
	t.log(why)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.skipped, t.reason = true, strings.TrimSuffix(why, "\n")
	if t.reason == "" {
		t.reason = "it does not say why"
	}
}

// Name implements testing.TB.
func (t *tb) Name() string { return t.name }

// Context implements testing.TB.
func (t *tb) Context() context.Context { return t.ctx }

// Helper implements testing.TB. Failures have no line numbers here.
func (t *tb) Helper() {}

// Attr implements testing.TB.
func (t *tb) Attr(key, value string) { t.log(key + ": " + value) }

// Output implements testing.TB.
func (t *tb) Output() io.Writer { return logWriter{t} }

type logWriter struct{ t *tb }

// Write implements io.Writer.
func (w logWriter) Write(p []byte) (int, error) {
	w.t.log(string(p))
	return len(p), nil
}

// Log and the methods that follow implement testing.TB.
func (t *tb) Log(args ...any) { t.log(fmt.Sprintln(args...)) }

// Logf implements testing.TB.
func (t *tb) Logf(format string, args ...any) { t.log(fmt.Sprintf(format, args...)) }

// Error implements testing.TB.
func (t *tb) Error(args ...any) { t.fail(fmt.Sprintln(args...)) }

// Errorf implements testing.TB.
func (t *tb) Errorf(format string, args ...any) { t.fail(fmt.Sprintf(format, args...)) }

// Fatal implements testing.TB.
func (t *tb) Fatal(args ...any) { t.Error(args...); t.FailNow() }

// Fatalf implements testing.TB.
func (t *tb) Fatalf(format string, args ...any) { t.Errorf(format, args...); t.FailNow() }

// Fail implements testing.TB.
func (t *tb) Fail() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = true
}

// FailNow implements testing.TB.
func (t *tb) FailNow() { t.Fail(); runtime.Goexit() }

// Failed implements testing.TB.
func (t *tb) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

// Skip implements testing.TB.
func (t *tb) Skip(args ...any) { t.skip(fmt.Sprintln(args...)); runtime.Goexit() }

// Skipf implements testing.TB.
func (t *tb) Skipf(format string, args ...any) {
	t.skip(fmt.Sprintf(format, args...))
	runtime.Goexit()
}

// SkipNow implements testing.TB.
func (t *tb) SkipNow() { t.skip(""); runtime.Goexit() }

// Skipped implements testing.TB.
func (t *tb) Skipped() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.skipped
}

// Cleanup implements testing.TB.
func (t *tb) Cleanup(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cleanups = append(t.cleanups, f)
}

// TempDir implements testing.TB. It makes another directory each time.
func (t *tb) TempDir() string {
	dir, err := os.MkdirTemp("", "parley-contract-")
	if err != nil {
		t.Fatalf("make a directory: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the directory: %v", err)
		}
	})
	return dir
}

// ArtifactDir implements testing.TB.
func (t *tb) ArtifactDir() string { return t.TempDir() }

// Setenv implements testing.TB. Checks run at the same time, and would change each
// other's environment.
func (t *tb) Setenv(key, _ string) {
	t.Fatalf("the environment (%s) cannot be changed outside of go test", key)
}

// Chdir implements testing.TB, likewise.
func (t *tb) Chdir(string) { t.Fatal("the directory cannot be changed outside of go test") }
