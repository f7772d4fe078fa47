package runner_test

import (
	"context"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"parley/contracttest/runner"
)

// How a check ends outside of go test, by what it does.
func TestOutcome(t *testing.T) {
	for name, c := range map[string]struct {
		check    func(tb testing.TB)
		failures []string
		failed   bool
		skipped  string
	}{
		"nothing":          {check: func(testing.TB) {}},
		"error and on":     {check: func(tb testing.TB) { tb.Error("a", 1); tb.Errorf("b%d", 2) }, failed: true, failures: []string{"a 1", "b2"}},
		"fatal ends":       {check: func(tb testing.TB) { tb.Fatal("a"); tb.Error("b") }, failed: true, failures: []string{"a"}},
		"fatalf ends":      {check: func(tb testing.TB) { tb.Fatalf("%d", 1); tb.Error("b") }, failed: true, failures: []string{"1"}},
		"failnow ends":     {check: func(tb testing.TB) { tb.FailNow(); tb.Error("b") }, failed: true},
		"fail":             {check: func(tb testing.TB) { tb.Fail() }, failed: true},
		"skip ends":        {check: func(tb testing.TB) { tb.Skip("no", "docker"); tb.Error("b") }, skipped: "no docker"},
		"skipf ends":       {check: func(tb testing.TB) { tb.Skipf("no %s", "docker"); tb.Error("b") }, skipped: "no docker"},
		"silent skip":      {check: func(tb testing.TB) { tb.SkipNow(); tb.Error("b") }, skipped: "it does not say why"},
		"cleanup fails":    {check: func(tb testing.TB) { tb.Cleanup(func() { tb.Fatal("late") }) }, failed: true, failures: []string{"late"}},
		"setenv":           {check: func(tb testing.TB) { tb.Setenv("X", "y") }, failed: true, failures: []string{"the environment (X) cannot be changed outside of go test"}},
		"chdir":            {check: func(tb testing.TB) { tb.Chdir("/") }, failed: true, failures: []string{"the directory cannot be changed outside of go test"}},
		"too long":         {check: func(tb testing.TB) { tb.Error(strings.Repeat("x", 1<<20)) }, failed: true, failures: []string{strings.Repeat("x", 16<<10) + " …"}},
		"of a goroutine's": {check: func(tb testing.TB) { d := make(chan int); go func() { defer close(d); tb.Error("a") }(); <-d }, failed: true, failures: []string{"a"}},
	} {
		o := runner.Run(t.Context(), name, c.check)
		if o.Failed != c.failed || o.Skipped != c.skipped || !slices.Equal(o.Failures, c.failures) {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

// A panic is a failure of the check, not of the program.
func TestPanic(t *testing.T) {
	o := runner.Run(t.Context(), "x", func(testing.TB) { panic("at the disco") })
	if !o.Failed || len(o.Failures) != 1 || !strings.Contains(o.Failures[0], "a panic: at the disco") || !strings.Contains(o.Failures[0], "runner_test.go") {
		t.Errorf("%+v", o)
	}
}

// What a check leaves is cleaned up in reverse order, when its context is done.
func TestCleanup(t *testing.T) {
	var did []string
	var dir string
	runner.Run(t.Context(), "x", func(tb testing.TB) {
		ctx := tb.Context()
		dir = tb.TempDir()
		if ctx.Err() != nil || dir == tb.TempDir() || dir == tb.ArtifactDir() {
			t.Error("the context is done, or a directory is not new")
		}
		tb.Cleanup(func() { did = append(did, "first") })
		tb.Cleanup(func() {
			if ctx.Err() == nil {
				t.Error("the context goes on during the cleanup")
			}
			did = append(did, "second")
			tb.Cleanup(func() { did = append(did, "of the second") })
		})
		tb.FailNow()
	})
	if want := []string{"second", "of the second", "first"}; !slices.Equal(did, want) {
		t.Errorf("cleaned up %q, want %q", did, want)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}

// Who ends the run ends the check.
func TestContext(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	runner.Run(ctx, "x", func(tb testing.TB) { stop(); <-tb.Context().Done() })
}

// The log keeps the last lines and does not grow.
func TestLog(t *testing.T) {
	o := runner.Run(t.Context(), "a name", func(tb testing.TB) {
		tb.Helper()
		for range 1000 {
			tb.Log(strings.Repeat("x", 1000))
		}
		tb.Attr("key", tb.Name())
		_, _ = tb.Output().Write([]byte("written\n"))
		tb.Logf("%d", 7)
		tb.Log(strings.Repeat("y", 10), tb.Failed(), tb.Skipped())
	})
	if len(o.Log) > runner.MaxLog || !strings.HasSuffix(o.Log, "key: a name\nwritten\n7\nyyyyyyyyyy false false") {
		t.Errorf("%d bytes, ending in %q", len(o.Log), o.Log[len(o.Log)-60:])
	}
	if o := runner.Run(t.Context(), "x", func(tb testing.TB) { tb.Log(strings.Repeat("x", 1<<20)) }); len(o.Log) > runner.MaxLog {
		t.Errorf("%d bytes of one line", len(o.Log))
	}
}

// A method that a new version of Go adds to testing.TB must not be forgotten: it
// would panic in the middle of a check.
func TestEveryMethod(t *testing.T) {
	runner.Run(t.Context(), "x", func(tb testing.TB) {
		interfaced := reflect.TypeFor[testing.TB]()
		embedded := reflect.ValueOf(tb).Elem().FieldByName("TB").Type()
		if embedded != interfaced {
			t.Fatal("it no longer embeds the interface")
		}
		known := []string{
			"ArtifactDir", "Attr", "Chdir", "Cleanup", "Context", "Error", "Errorf", "Fail", "FailNow", "Failed", "Fatal", "Fatalf",
			"Helper", "Log", "Logf", "Name", "Output", "Setenv", "Skip", "SkipNow", "Skipf", "Skipped", "TempDir",
		}
		for m := range interfaced.Methods() {
			if m.IsExported() && !slices.Contains(known, m.Name) {
				t.Errorf("testing.TB has a new method %s", m.Name)
			}
		}
	})
}
