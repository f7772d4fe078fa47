package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/contracttest/profiles"
	"parley/contracttest/report"
	"parley/contracttest/runner"
)

// ran is what a command line came to.
type ran struct {
	status      int
	out, errors string
}

func (r ran) all() string { return r.out + r.errors }

func command(t *testing.T, args ...string) ran {
	t.Helper()
	t.Setenv("GITHUB_STEP_SUMMARY", "")
	var out, errs strings.Builder
	status := run(t.Context(), args, &out, &errs)
	return ran{status, out.String(), errs.String()}
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// small is the profile of a server that knows two routes and keeps nothing.
const small = `
name: small
claims: [POST /api/chat/start, memory, GET /health, GET /livez]
start:
  ready: /livez
  env: {PORT: "{{.Port}}", PREFIX: "{{.KeyPrefix}}", ` + asFake + `: KIND}
bounds: {start: 10s, stop: 1s}
`

// fake is the command line of a run on a server of a kind.
func fake(t *testing.T, kind string, more ...string) []string {
	t.Helper()
	profile := file(t, "small.yaml", strings.ReplaceAll(small, "KIND", kind))
	args := append([]string{"run", "--profile", profile, "--store", "memory", "--only", "shape.health", "--only", "shape.live"}, more...)
	return append(args, "--", os.Args[0], "{{.Host}}")
}

// Who gets the command line wrong is told everything that is wrong with it.
func TestCommandLine(t *testing.T) {
	for line, want := range map[string]struct {
		status int
		said   string
	}{
		"":                               {2, "usage:"},
		"help":                           {0, "usage:"},
		"run --help":                     {0, "-known-failures"},
		"version":                        {0, "parley-contract "},
		"nonsense":                       {2, `there is no command "nonsense"`},
		"claims":                         {0, "retry-after"},
		"profile parley":                 {0, "claims: all"},
		"profile nowhere":                {2, "parley, predecessor"},
		"profile":                        {2, "say which profile"},
		"run":                            {2, "say what to start"},
		"run --nonsense":                 {2, "nonsense"},
		"run --url x":                    {2, `--url "x" is not the URL`},
		"run --url http://h -- ./server": {2, "two servers"},
		"run --store disk -- s":          {2, "not redis or memory"},
		"run --redis-url redis://h -- s": {2, "--redis-may-be-flushed"},
		"run --redis-url redis://h --redis-server p -- s":                           {2, "say one"},
		"run --redis-url rediss://h --redis-may-be-flushed -- s":                    {2, "--redis-url is not of the form redis://"},
		"run --redis-url unix:///s --redis-may-be-flushed -- s":                     {2, "--redis-url is not of the form redis://"},
		"run --redis-url redis:// --redis-may-be-flushed -- s":                      {2, "--redis-url is not of the form redis://"},
		"run --rounds 0 --parallel 0 --timeout 0s -- s":                             {2, "--parallel is 0"},
		"run -- s {{.Nothing}}":                                                     {2, "names a value that there is not"},
		"run --profile nowhere -- s":                                                {2, "no such file"},
		"run --only nothing --list":                                                 {2, "--only nothing matches no rule"},
		"run --only shape.start --list":                                             {0, "POST /api/chat/start answers"},
		"run --only refused --list":                                                 {0, "connections are refused"},
		"run --only refused/* --store memory --list":                                {0, "(skipped: conversations are in memory)"},
		"run --profile predecessor --only signal.log-agent --list":                  {0, "(skipped: not claimed: logs)"},
		"run --explain nothing":                                                     {2, "there is no rule"},
		"run --explain conflict.second":                                             {0, "why:"},
		"run --explain full":                                                        {0, "out of memory"},
		"run --known-failures nowhere -- s":                                         {2, "no such file"},
		"run --store memory --profile ../../contracttest/testdata/server.yaml -- s": {2, "does not claim memory"},
	} {
		if got := command(t, strings.Fields(line)...); got.status != want.status || !strings.Contains(got.all(), want.said) {
			t.Errorf("%q: %d, want %d and %q:\n%.600s", line, got.status, want.status, want.said, got.all())
		}
	}
}

// All that a profile claims is tested, or the run says that it proves nothing.
func TestEveryClaimIsTested(t *testing.T) {
	for _, name := range append(profiles.Names(), "../../contracttest/testdata/server.yaml") {
		if got := command(t, "run", "--profile", name, "--list"); got.status != 0 {
			t.Errorf("%s: %s", name, got.errors)
		}
	}
	path := file(t, "empty.yaml", "name: empty\nclaims: [GET /livez, discretion]\n")
	if got := command(t, "run", "--profile", path, "--list"); got.status != 2 || !strings.Contains(got.errors, `claims "discretion", and no rule tests it`) {
		t.Errorf("a claim that nothing tests: %d %s", got.status, got.errors)
	}
}

// A server that keeps its promises is told so, in every form of the report.
func TestKept(t *testing.T) {
	dir := t.TempDir()
	got := command(t, fake(t, "well", "--report", dir, "--junit", filepath.Join(dir, "new", "junit.xml"), "--summary", filepath.Join(dir, "summary.md"))...)
	if got.status != 0 || !strings.Contains(got.out, "2 rules: 2 passed") {
		t.Fatalf("%d %s", got.status, got.all())
	}
	for _, name := range []string{"contract.html", "contract.json", "contract.txt", "new/junit.xml", "summary.md"} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !strings.Contains(string(text), "shape.health") && name != "summary.md" {
			t.Errorf("%s: %v %.200s", name, err, text)
		}
	}
	if !strings.Contains(got.errors, "shape.health") {
		t.Errorf("nothing is told while it runs: %s", got.errors)
	}
}

// A broken promise is told with what was sent, expected and came, and with the command
// that tries it again.
func TestBroken(t *testing.T) {
	args := fake(t, "unwell")
	got := command(t, args...)
	for _, want := range []string{
		"FAILED: shape.health", "GET /health answers as openapi.yaml says", "sent      GET /health", "the status is unwell",
		"repeat    parley-contract run --profile ", "--only shape.health -- " + os.Args[0] + " '{{.Host}}'", "1 failed",
	} {
		if !strings.Contains(got.out, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	if got.status != report.ExitBroken || t.Failed() {
		t.Errorf("%d %s", got.status, got.all())
	}
}

// What is known to fail must fail.
func TestKnownFailures(t *testing.T) {
	known := file(t, "known.txt", "shape.health # it is a small server\n")
	if got := command(t, fake(t, "unwell", "--known-failures", known)...); got.status != 0 || !strings.Contains(got.out, "1 known failure") {
		t.Errorf("it fails: %d %s", got.status, got.all())
	}
	if got := command(t, fake(t, "well", "--known-failures", known)...); got.status != 1 || !strings.Contains(got.out, "UNEXPECTEDLY PASSED: shape.health") {
		t.Errorf("it passes: %d %s", got.status, got.all())
	}
	if got := command(t, fake(t, "well", "--known-failures", file(t, "known.txt", "shape.nothing # gone\n"))...); got.status != 2 || !strings.Contains(got.errors, "shape.nothing matches no rule") {
		t.Errorf("there is no such rule: %d %s", got.status, got.all())
	}
}

// A server that cannot be tried has broken nothing, and the run says what it printed.
func TestCouldNotRun(t *testing.T) {
	for kind, want := range map[string]string{
		"refuses to start": "is not to its liking",
		"says nothing":     "does not answer http://127.0.0.1:",
	} {
		args := fake(t, kind)
		if kind == "says nothing" {
			i := slices.Index(args, "--profile") + 1
			text := strings.ReplaceAll(strings.ReplaceAll(small, "KIND", kind), "start: 10s", "start: 200ms")
			args[i] = file(t, "hasty.yaml", text)
		}
		if got := command(t, args...); got.status != 2 || !strings.Contains(got.errors, want) {
			t.Errorf("%s: %d %s", kind, got.status, got.all())
		}
	}
	args := fake(t, "well")
	if got := command(t, append(args[:len(args)-2], "/nowhere/server")...); got.status != 2 || !strings.Contains(got.errors, "no such file") {
		t.Errorf("no program: %d %s", got.status, got.all())
	}
	if got := command(t, fake(t, "well", "--timeout", "1ns")...); got.status != 2 {
		t.Errorf("no time: %d %s", got.status, got.all())
	}
}

// A server that runs already is asked what needs no start, and the rest is skipped by
// its name.
func TestURL(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"status": "ok"})
	}))
	t.Cleanup(web.Close)
	profile := file(t, "small.yaml", strings.ReplaceAll(small, "KIND", "x"))
	got := command(t, "run", "--profile", profile, "--url", web.URL, "--only", "shape.health", "--only", "agent-500")
	if got.status != 0 || !strings.Contains(got.out, "1 passed") || !strings.Contains(got.out, "skipped, the server runs already, with an agent of its own") {
		t.Errorf("%d %s", got.status, got.all())
	}
}

// starter is a program of a kind.
func starter(t *testing.T, kind string) *program {
	t.Helper()
	p, err := profiles.Parse("small", []byte(strings.ReplaceAll(small, "KIND", kind)))
	if err != nil {
		t.Fatal(err)
	}
	var command []profiles.Template
	for _, word := range []string{os.Args[0], "{{.Host}}"} {
		w, err := profiles.NewTemplate(word)
		if err != nil {
			t.Fatal(err)
		}
		command = append(command, w)
	}
	return &program{command: command, profile: p, startIn: 10 * time.Second, stopIn: 300 * time.Millisecond}
}

// The server gets its words and its environment, what it prints can be read, and it
// ends with the check, also if it has a child that does not want to.
func TestProcess(t *testing.T) {
	t.Setenv("PREFIX", "of somebody else's")
	for _, kind := range []string{"well", "deaf", "has a child"} {
		var base, log string
		o := runner.Run(t.Context(), kind, func(tb testing.TB) {
			r := starter(t, kind).start(tb, wiring{}, func(error) {})
			base, log = r.base, r.printed.String()
		})
		if o.Failed || !strings.Contains(log, `it has the key prefix "" and the word "127.0.0.1"`) {
			t.Errorf("%s: %+v, it printed %s", kind, o, log)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/livez", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			t.Errorf("%s: it still answers", kind)
		}
	}
}

// What a server prints without end takes no memory without end.
func TestPrinted(t *testing.T) {
	var p printed
	for range 100 {
		_, _ = p.Write([]byte(strings.Repeat("x", 10<<10)))
	}
	_, _ = p.Write([]byte("the end"))
	if all := p.String(); len(all) != maxPrinted || !strings.HasSuffix(all, "the end") || p.last(7) != "it printed: … the end" {
		t.Errorf("%d bytes are kept, ending in %q", len(all), p.last(10))
	}
}
