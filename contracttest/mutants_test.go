package contracttest_test

import (
	"flag"
	"slices"
	"testing"
	"time"

	"parley/contracttest"
	"parley/contracttest/mutants"
	"parley/store"
	"parley/store/memory"
)

// lacking is what a store in memory lacks. The rules that need it are tried with
// the mutants beside the Redis store.
var lacking = []contracttest.Ability{contracttest.Keys, contracttest.Scripts, contracttest.OwnClock, contracttest.Legacy, contracttest.Damages, contracttest.Tampers}

// mutated is a store in memory of which every handle is broken by m.
func mutated(m mutants.Mutant) contracttest.Backend {
	return contracttest.Backend{Lacks: lacking, Open: func(testing.TB) *contracttest.Place {
		clock := contracttest.NewClock()
		right := memory.New(memory.Options{TTL: time.Hour, Now: clock.Now})
		handle := func() store.Store {
			return m.Break(right, mutants.Options{
				Now: clock.Now, TTL: time.Hour,
				Memory: func() store.Store { return memory.New(memory.Options{TTL: time.Hour, Now: clock.Now}) },
			})
		}
		return &contracttest.Place{
			Store: handle(), TTL: time.Hour,
			Reopen:  func(testing.TB) store.Store { return handle() },
			Advance: func(_ testing.TB, d time.Duration) { clock.Advance(d) },
		}
	}}
}

// none is a mutant with nothing wrong.
var none = mutants.Mutant{Break: func(s store.Store, _ mutants.Options) store.Store { return s }}

// exact has every mutant tried against every rule, which takes more than a minute:
// make contract does.
var exact = flag.Bool("contract.exact", false, "try every mutant against every rule, not only against those that it names")

// A mutant breaks the rules that it names and, with exact, no others: a rule that fails
// names what is wrong, and not only that something is.
func TestMutants(t *testing.T) {
	for _, m := range mutants.All() {
		if len(m.Rules) == 0 {
			continue // the matrix, a history or the chaos test finds it
		}
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			var got, want []string
			for _, r := range contracttest.Rules() {
				if r.Needs != "" || !*exact && !slices.Contains(m.Rules, r.ID) {
					continue
				}
				if slices.Contains(m.Rules, r.ID) {
					want = append(want, r.ID)
				}
				if broken, _ := contracttest.Breaks(t, mutated(m), r.ID); broken {
					got = append(got, r.ID)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s\n\tit breaks %q\n\tit names  %q", m.Wrong, got, want)
			}
		})
	}
}

// A right store breaks no rule.
func TestRightStore(t *testing.T) {
	for _, r := range contracttest.Rules() {
		if broken, report := contracttest.Breaks(t, mutated(none), r.ID); broken {
			t.Errorf("a right store breaks %s: %s", r.ID, report)
		}
	}
}

// Every rule has an id of its own, a sentence, and a mutant that breaks it, and
// every rule that a mutant names is there.
func TestEveryRuleHasAMutant(t *testing.T) {
	unproven := map[string]bool{}
	for _, r := range contracttest.Rules() {
		if unproven[r.ID] || r.Sentence == "" {
			t.Errorf("rule %q is there twice, or has no sentence", r.ID)
		}
		unproven[r.ID] = true
	}
	seen := map[string]bool{}
	for _, m := range mutants.All() {
		if seen[m.Name] || m.Wrong == "" || len(m.Rules)+len(m.Cells)+len(m.Attacks) == 0 && !m.History && !m.Chaos {
			t.Errorf("mutant %q is there twice, has no sentence, or is found by nothing", m.Name)
		}
		seen[m.Name] = true
		for _, id := range m.Rules {
			if !slices.ContainsFunc(contracttest.Rules(), func(r contracttest.Rule) bool { return r.ID == id }) {
				t.Errorf("%s names the rule %s, which does not exist", m.Name, id)
			}
			delete(unproven, id)
		}
	}
	for id := range unproven {
		t.Errorf("no mutant breaks %s", id)
	}
}
