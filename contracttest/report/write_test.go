package report

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files")

// whole is a report in which everything that a report can have occurs.
func whole(t *testing.T) *Report {
	t.Helper()
	rules := append(plan(), Rule{ID: "T1.span", Chapter: "telemetry", Sentence: "The span names the class."}, Rule{ID: "T2.never", Chapter: "telemetry", Sentence: "It ends."})
	for i := range rules {
		rules[i].Command = "parley-contract run --seed 7 --only '" + rules[i].ID + "' -- ./server"
		if rules[i].Row == "refused" {
			rules[i].Fault = "Redis refuses every connection"
		}
		if rules[i].Row == "slow" {
			rules[i].Fault = "Redis answers after 300 ms"
		}
	}
	c, err := NewRecorder(Head{
		Title: "Contract of parley", Tool: "parley-contract", Version: "v1.2.3", Target: "./server --port 8080", Profile: "parley", Store: "redis",
		Seed: 7, Rounds: 1, Began: time.Date(2026, 11, 25, 19, 30, 0, 0, time.UTC), Bounds: []Measure{Milliseconds("answer", 1050*time.Millisecond)},
	}, rules, knownOf(t, "S2.b # see ticket 12\nslow/GET* # was slow once\nT1.* # nobody looks\n"), NewRedactor("the-token-of-this-run"), nil)
	if err != nil {
		t.Fatal(err)
	}
	measured := []Measure{Milliseconds("answer", 12*time.Millisecond), {Name: "executions", Value: 2, Unit: "×"}}
	c.End("S1.a", Finding{Outcome: Passed, Took: Duration(20 * time.Millisecond)})
	c.End("S2.b", Finding{Outcome: Failed, Took: Duration(1200 * time.Millisecond), Sent: "GET /a", Expected: "204", Came: "500", Broken: []string{"told"}})
	c.End("refused/GET /a", Finding{Outcome: Passed, Answer: "503 store_unreachable", Measures: measured, Took: Duration(340 * time.Millisecond)})
	c.End("refused/POST /b/{id}", Finding{
		Outcome: Failed, Answer: "502 upstream_error", Broken: []string{"told", "kept"}, Measures: measured, Took: Duration(350 * time.Millisecond),
		Sent: "POST /b/7\nAuthorization: Bearer the-token-of-this-run", Expected: "503 store_unreachable", Came: "502 upstream_error\n{\"class\":\"upstream_error\"}",
	})
	c.End("slow/GET /a", Finding{Outcome: Passed, Answer: "200 ok", Took: Duration(400 * time.Millisecond)})
	c.End("slow/POST /b/{id}", Finding{Outcome: Skipped, Reason: "the profile does not claim bounds"})
	c.End("T1.span", Finding{Outcome: Skipped, Reason: "the profile does not claim telemetry"})
	r := c.Finish(io.ErrUnexpectedEOF)
	r.Took = Duration(80 * time.Second)
	return r
}

// writers are all of them, by the name of the file that each writes.
func writers(r *Report) map[string]func(io.Writer) error {
	return map[string]func(io.Writer) error{
		"report.txt":  func(w io.Writer) error { return r.WriteText(w, false) },
		"details.txt": func(w io.Writer) error { return r.WriteText(w, true) },
		"report.html": r.WriteHTML, "report.json": r.WriteJSON, "report.xml": r.WriteJUnit,
		"report.md": func(w io.Writer) error { return r.WriteMarkdown(w, maxSummary) },
	}
}

func TestGolden(t *testing.T) {
	for name, write := range writers(whole(t)) {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
				t.Error(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil || !bytes.Equal(b.Bytes(), want) {
			t.Errorf("%s is not as it would be written (%v); -update writes it. It would be:\n%s", file, err, b.String())
		}
	}
}

// Every writer tells of every failure, and none tells the token.
func TestWritersTellAll(t *testing.T) {
	r := whole(t)
	for name, write := range writers(r) {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		text := b.String()
		if strings.Contains(text, "the-token-of-this-run") {
			t.Errorf("%s tells the token", name)
		}
		for _, want := range []string{"ticket 12", "was slow once", "T1.", "upstream_error", "unexpected EOF"} {
			if name == "report.md" {
				want = inline(want)
			}
			// In the step summary, the text of a failure is in a fence.
			if !strings.Contains(text, want) && (name != "report.md" || !strings.Contains(text, strings.NewReplacer("&#95;", "_").Replace(want))) {
				t.Errorf("%s does not tell %q", name, want)
			}
		}
	}
}

// A disk that is full is told, whoever writes.
func TestWritersTellWhereTheyCannot(t *testing.T) {
	for name, write := range writers(whole(t)) {
		if err := write(fullDisk{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := whole(t).AppendSummary(t.TempDir()); err == nil {
		t.Error("a directory is taken for a file")
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
