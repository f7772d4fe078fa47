package apirules_test

import (
	"regexp"
	"testing"

	"parley/contracttest/apirules"
	"parley/contracttest/claims"
	"parley/contracttest/runner"
)

// A rule is named once and says what must hold, why, and how it is tried; and it needs
// claims that there are.
func TestRules(t *testing.T) {
	seen := map[string]bool{}
	name := regexp.MustCompile(`^[a-z]+\.[a-z-]+$`)
	for _, r := range apirules.Rules() {
		if seen[r.ID] || !name.MatchString(r.ID) || r.Chapter == "" || r.Sentence == "" || r.Why == "" || r.How == "" || len(r.Needs) == 0 {
			t.Errorf("%+v is there twice, has no name, or says nothing", r)
		}
		seen[r.ID] = true
		for _, c := range r.Needs {
			if _, known := claims.Find(string(c)); !known {
				t.Errorf("%s needs %q, which nobody can claim", r.ID, c)
			}
		}
	}
}

// What cannot be tried is skipped, and says why.
func TestUnfit(t *testing.T) {
	find := func(id string) apirules.Rule {
		for _, r := range apirules.Rules() {
			if r.ID == id {
				return r
			}
		}
		t.Fatalf("there is no rule %s", id)
		return apirules.Rule{}
	}
	for _, c := range []struct {
		rule    string
		subject apirules.Subject
		want    string
	}{
		{"repeat.same", apirules.Subject{Lacks: claims.Without(claims.Send)}, "not claimed: idempotency"},
		{"restart.kept", apirules.Subject{}, "conversations are in memory"},
		{"conflict.second", apirules.Subject{Fixed: true}, "the server runs already, and this needs one that the suite starts"},
		{"shape.send", apirules.Subject{Fixed: true}, ""},
	} {
		r := find(c.rule)
		if got := r.Unfit(c.subject); got != c.want {
			t.Errorf("%s: %q, want %q", c.rule, got, c.want)
		}
		if c.want == "" {
			continue
		}
		o := runner.Run(t.Context(), c.rule, func(tb testing.TB) { apirules.Check(tb, c.subject, r) })
		if o.Skipped != c.want || o.Failed {
			t.Errorf("%s: %+v", c.rule, o)
		}
	}
	o := runner.Run(t.Context(), "x", func(tb testing.TB) { apirules.Check(tb, apirules.Subject{}, apirules.Rule{ID: "x"}) })
	if !o.Failed {
		t.Error("a rule that is none passes")
	}
}
