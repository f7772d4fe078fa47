package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/contracttest/report"
)

// three are a sound service and two mutants.
func three() []mutant {
	return []mutant{
		{Name: "right", Wrong: "Nothing is."},
		{Name: "a", Wrong: "It lies.", Finds: []string{"r1", "r2"}},
		{Name: "b", Wrong: "It sleeps.", Finds: []string{"r2", "r3"}},
	}
}

// A mutant is tried with all rules that name it, and with some that must not find it;
// the sound service with all that there are.
func TestRulesFor(t *testing.T) {
	for _, c := range []struct {
		i, sample int
		want      []string
	}{
		{0, 0, []string{"r1", "r2", "r3"}},
		{1, 0, []string{"r1", "r2"}},
		{1, 3, []string{"r1", "r2", "r3"}},
		{2, 1, []string{"r2", "r3", "r1"}},
	} {
		if got := rulesFor(three(), c.i, c.sample); !slices.Equal(got, c.want) {
			t.Errorf("mutant %d, sample %d: %q, want %q", c.i, c.sample, got, c.want)
		}
	}
}

// Only a mutant that is found by what it names, and by nothing else, is found; nothing
// counts as a finding that was not tried.
func TestJudgeMutant(t *testing.T) {
	passed, failed, skipped := report.Finding{Outcome: report.Passed}, report.Finding{Outcome: report.Failed, Came: "500"}, report.Finding{Outcome: report.Skipped, Reason: "not claimed"}
	ids := []string{"r1", "r2", "r3"}
	for name, c := range map[string]struct {
		mutant  int
		results map[string]report.Finding
		want    report.Outcome
		came    string
	}{
		"found":                 {1, map[string]report.Finding{"r1": failed, "r2": failed, "r3": passed}, report.Passed, ""},
		"sound":                 {0, map[string]report.Finding{"r1": passed, "r2": passed, "r3": passed}, report.Passed, ""},
		"sound, and found":      {0, map[string]report.Finding{"r1": failed, "r2": passed, "r3": passed}, report.Failed, "r1 finds it, too: 500"},
		"missed by one":         {1, map[string]report.Finding{"r1": failed, "r2": passed, "r3": passed}, report.Failed, "r2 does not find it"},
		"found by another":      {1, map[string]report.Finding{"r1": failed, "r2": failed, "r3": failed}, report.Failed, "r3 finds it, too: 500"},
		"skipped":               {1, map[string]report.Finding{"r1": failed, "r2": skipped, "r3": passed}, report.NotRun, "r2 was not tried: skipped not claimed"},
		"not there":             {1, map[string]report.Finding{"r1": failed, "r2": failed}, report.NotRun, "r3 was not tried"},
		"not there, and missed": {1, map[string]report.Finding{"r1": passed, "r2": failed}, report.Failed, "r1 does not find it"},
	} {
		got := three()[c.mutant].judge(ids, c.results)
		if got.Outcome != c.want || !strings.Contains(got.Came, c.came) || (c.came == "") != (got.Came == "") {
			t.Errorf("%s: %s %q", name, got.Outcome, got.Came)
		}
	}
}

// What is read is what was written, of this version and no other.
func TestReadResults(t *testing.T) {
	r := report.Of(report.Head{}, report.Redactor{}, []report.Result{{Rule: report.Rule{ID: "a"}, Finding: report.Finding{Outcome: report.Failed, Came: "x"}}})
	dir := t.TempDir()
	if err := r.WriteFiles(dir, "contract"); err != nil {
		t.Fatal(err)
	}
	got, err := readResults(filepath.Join(dir, "contract.json"))
	if err != nil || len(got) != 1 || got["a"].Outcome != report.Failed || got["a"].Came != "x" {
		t.Errorf("%v %v", got, err)
	}
	for name, text := range map[string]string{"other": `{"schema": 2}`, "none": "{"} {
		if _, err := readResults(file(t, name, text)); err == nil {
			t.Errorf("%s is read", name)
		}
	}
}

// Who gets the command line wrong, or has no mutants, is told.
func TestSelfTestCommandLine(t *testing.T) {
	for line, want := range map[string]struct {
		status int
		said   string
	}{
		"self-test --help":                         {0, "-mutants PROGRAM"},
		"self-test --nonsense":                     {2, "nonsense"},
		"self-test x --parallel 0":                 {2, `what is "x"?`},
		"self-test --parallel 0 --sample -1":       {2, "--sample is -1"},
		"self-test --timeout 0s":                   {2, "--timeout is 0s"},
		"self-test --mutants /nowhere":             {2, "list the mutants"},
		"self-test --mutants " + script(t, "[]"):   {2, "no mutants"},
		"self-test --mutants " + script(t, "what"): {2, "the list of the mutants"},
	} {
		if got := command(t, strings.Fields(line)...); got.status != want.status || !strings.Contains(got.all(), want.said) {
			t.Errorf("%q: %d, want %d and %q:\n%.600s", line, got.status, want.status, want.said, got.all())
		}
	}
}

// script is a program that prints a text.
func script(t *testing.T, text string) string {
	t.Helper()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no shell here")
	}
	path := file(t, "mutants", "#!"+sh+"\ncat <<'EOF'\n"+text+"\nEOF\n")
	if err := os.Chmod(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// A run of a mutant that comes to nothing is not taken for one that finds nothing.
func TestSelfTestCannotRun(t *testing.T) {
	list := `[{"name": "right", "wrong": "Nothing is."}, {"name": "a", "wrong": "It lies.", "finds": ["shape.live"]}]`
	s := &selfTest{mutants: script(t, list), parallel: 2, timeout: time.Minute}
	s.self = func(ctx context.Context, _ ...string) *exec.Cmd {
		return exec.CommandContext(ctx, "sh", "-c", "exit 3")
	}
	var errs strings.Builder
	r, err := s.run(t.Context(), &errs)
	if err != nil || r.Exit() != report.ExitCouldNot || len(r.With(report.NotRun)) != 2 || !strings.Contains(r.Results[1].Reason, "exit status 3") {
		t.Errorf("%v %+v", err, r)
	}
}
