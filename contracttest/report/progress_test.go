package report

import (
	"strings"
	"testing"
	"time"
)

func fixed() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

func ended(id string, o Outcome) Result {
	return Result{Rule{ID: id}, Finding{Outcome: o, Took: Duration(340 * time.Millisecond)}}
}

// Where nobody looks at a terminal, each rule that was tried has a line.
func TestProgressInPlainLines(t *testing.T) {
	var b strings.Builder
	p := NewProgress(&b, 0, 3, fixed)
	p.Begun(Rule{ID: "a"})
	p.Ended(ended("a", Passed), 1, 3)
	p.Ended(ended("b", Skipped), 2, 3)
	p.Ended(ended("c", Failed), 3, 3)
	p.Close()
	if want := "[1/3] ok    a, 340 ms\n[3/3] FAIL  c, 340 ms\n"; b.String() != want {
		t.Errorf("%q", b.String())
	}
}

// On a terminal there is one line, which says how far the run is, what runs, and how
// long it will take; what is bad stays above it.
func TestProgressOnTerminal(t *testing.T) {
	var b strings.Builder
	now := fixed()
	p := NewProgress(&b, 80, 4, func() time.Time { return now })
	last := func() string {
		all := strings.Split(b.String(), "\r\x1b[K")
		return all[len(all)-1]
	}
	for _, id := range []string{"a", "b", "c"} {
		p.Begun(Rule{ID: id})
	}
	if want := "[--------------------] 0/4  a and 2 more"; last() != want {
		t.Errorf("%q", last())
	}
	now = now.Add(10 * time.Second)
	p.Ended(ended("a", Passed), 1, 4)
	if want := "[#####---------------] 1/4  30.0 s left  b and 1 more"; last() != want {
		t.Errorf("%q", last())
	}
	p.Ended(ended("d", Skipped), 2, 4)
	p.Ended(ended("c", Failed), 3, 4)
	if want := "[###############-----] 3/4  1 bad  5.0 s left  b"; last() != want || !strings.Contains(b.String(), "\r\x1b[KFAIL  c\n") {
		t.Errorf("%q", b.String())
	}
	p.Ended(ended(strings.Repeat("b", 200), Passed), 4, 4)
	p.Close()
	if last() != "" {
		t.Errorf("the bar stays: %q", last())
	}
	p.Begun(Rule{ID: "late"})
	for line := range strings.SplitSeq(b.String(), "\r\x1b[K") {
		if len(strings.TrimSuffix(line, "\n")) > 79 {
			t.Errorf("a line of %d columns", len(line))
		}
	}
}

// The bar of a long id does not break the line.
func TestProgressIsCut(t *testing.T) {
	var b strings.Builder
	NewProgress(&b, 40, 2, fixed).Begun(Rule{ID: strings.Repeat("ß", 100)})
	if line := strings.TrimPrefix(b.String(), "\r\x1b[K"); len(line) > 39 || strings.Contains(line, "\ufffd") {
		t.Errorf("%q", line)
	}
}
