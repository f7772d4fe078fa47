package report

import (
	"fmt"
	"strings"
	"testing"
)

func TestPattern(t *testing.T) {
	for _, c := range []struct {
		pattern, id string
		want        bool
	}{
		{"S1.a", "S1.a", true},
		{"S1.a", "S1.ab", false},
		{"S1.*", "S1.", true},
		{"S1.*", "S10.a", false},
		{"*", "S1.a", true},
		{"*", "refused/GET /a", false},
		{"*/*", "S1.a", false},
		{"refused/*", "refused/GET /a/{id}", true},
		{"refused/*", "refused-tls/GET /a", false},
		{"refused*/GET *", "refused-tls/GET /a", true},
		{"*/POST /api/chat/send", "slow/POST /api/chat/send", true},
		{"*/POST /api/chat/send", "slow/POST /api/chat/send/x", false},
		{"*/*/{id}*", "slow/GET /c/{id}/stream", true},
		{"*a*", "aa", true},
		{"a*a", "a", false},
		{"a**b", "ab", true},
		{"*ab*ba*", "aba", false},
	} {
		p, err := ParsePattern(c.pattern)
		if err != nil || p.Matches(c.id) != c.want || p.String() != c.pattern {
			t.Errorf("%q on %q: %t, %v", c.pattern, c.id, !c.want, err)
		}
	}
	for _, bad := range []string{"", "/", "/GET /a", "refused/"} {
		if _, err := ParsePattern(bad); err == nil {
			t.Errorf("%q is taken for a pattern", bad)
		}
	}
}

// All faults of a file are told at once, each with its line.
func TestParseKnownFailuresFaults(t *testing.T) {
	_, err := ParseKnownFailures("known.txt", strings.NewReader("# ours\n\nS1.a # until May\nS2.b\nrefused/ # why\n S1.a\t# again\n# S3\nS4#x\nS5 #\n"))
	want := `known.txt:4: S2.b has no reason: write one behind it, after " # "
known.txt:5: "refused/" is no pattern: the column behind the slash is empty
known.txt:6: S1.a is in line 3 already
known.txt:8: S4#x has no reason: write one behind it, after " # "
known.txt:9: S5 has no reason: write one behind it, after " # "`
	if err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
	for name, text := range map[string]string{
		"too large":    strings.Repeat("#", maxKnownBytes+1),
		"too many":     manyEntries(maxKnown + 1),
		"not a reader": "",
	} {
		var r interface{ Read([]byte) (int, error) } = strings.NewReader(text)
		if text == "" {
			r = failing{}
		}
		if _, err := ParseKnownFailures("f", r); err == nil {
			t.Errorf("a file that is %s is taken", name)
		}
	}
	if _, err := ParseKnownFailures("f", strings.NewReader(manyEntries(maxKnown))); err != nil {
		t.Error(err)
	}
}

func manyEntries(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "S%d # why\n", i)
	}
	return b.String()
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, fmt.Errorf("the disk is gone") }

// An entry must fail; a rule that is in no entry must not.
func TestKnownFailures(t *testing.T) {
	k := knownOf(t, "\ufeffS1.a # ticket 5\r\nrefused/* # it says 502 #now\r\nS2.* # nobody claims it\n")
	c := record(t, k)
	c.End("S1.a", Finding{Outcome: Passed})
	c.End("S2.b", Finding{Outcome: Skipped, Reason: "streams"})
	c.End("refused/GET /a", Finding{Outcome: Failed, Came: "502"})
	c.End("refused/POST /b/{id}", Finding{Outcome: NotRun, Reason: "no Redis"})
	c.End("slow/GET /a", Finding{Outcome: Failed})
	c.End("slow/POST /b/{id}", Finding{Outcome: Passed})
	r := c.Finish(nil)
	want := []struct {
		outcome Outcome
		reason  string
	}{
		{UnexpectedPass, "known:1 expects it to fail: ticket 5"},
		{Skipped, "streams"},
		{KnownFailure, "it says 502 #now"},
		{NotRun, "no Redis"},
		{Failed, ""},
		{Passed, ""},
	}
	for i, x := range r.Results {
		if x.Outcome != want[i].outcome || x.Reason != want[i].reason {
			t.Errorf("%s: %s %q", x.ID, x.Outcome, x.Reason)
		}
	}
	if len(r.Problems) != 1 || r.Problems[0] != "known:3: S2.* must fail, but every rule that it matches is skipped" {
		t.Errorf("%q", r.Problems)
	}
}

// An entry for a rule that does not exist is an error, before anything is run; one for
// a rule that this run leaves out is not.
func TestKnownFailuresMatchNothing(t *testing.T) {
	k := knownOf(t, "S1.a # x\nS9.* # y\ngone/* # z\n")
	err := k.Check([]string{"S1.a", "S2.b", "refused/GET /a"})
	if want := "known:2: S9.* matches no rule\nknown:3: gone/* matches no rule"; err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
	if err := knownOf(t, "S1.* # x").Check([]string{"S1.a"}); err != nil {
		t.Error(err)
	}
	if r := record(t, k).Finish(nil); r.Problems != nil {
		t.Errorf("%q", r.Problems)
	}
	var none *KnownFailures
	if err := none.Check(nil); err != nil {
		t.Error(err)
	}
}

func FuzzParseKnownFailures(f *testing.F) {
	for _, text := range []string{"S1.a # x\n", "refused/* # y\r\n\n# z", "/", "a/# b\n* #c", "\ufeffa # \x00", strings.Repeat("*a", 50) + " # x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ParseKnownFailures("f", strings.NewReader(text))
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if !strings.HasPrefix(line, "f:") {
					t.Errorf("a fault without its line: %q", line)
				}
			}
			return
		}
		for _, e := range k.entries {
			if e.reason == "" || e.line < 1 || strings.ContainsAny(e.reason, "\n") {
				t.Errorf("%+v", e)
			}
			// A pattern without a star is the id that it selects; with stars, they may
			// stand for themselves.
			if !e.pattern.Matches(e.pattern.String()) {
				t.Errorf("%q does not match itself", e.pattern)
			}
		}
	})
}
