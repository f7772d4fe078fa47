package contracttest

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/store"
)

// silent is a store that does nothing; only its presence matters here.
type silent struct{ store.Store }

// complete is a backend that has all abilities. Its store panics when it is used.
func complete() (Backend, *Place) {
	p := &Place{
		Store: silent{}, TTL: MinTTL,
		Reopen:       func(testing.TB) store.Store { return silent{} },
		Advance:      func(testing.TB, time.Duration) {},
		Keys:         func(testing.TB) []Key { return nil },
		Instance:     func(testing.TB, time.Duration, time.Duration) store.Store { return silent{} },
		FlushScripts: func(testing.TB) {},
		PutLegacy:    func(testing.TB, store.Owner, string, float64, []byte) {},
		Damage:       func(testing.TB, store.Owner, string) {},
		Tamper:       func(testing.TB, store.Owner, string, Tampering) func() { return func() {} },
	}
	return Backend{Open: func(testing.TB) *Place { return p }}, p
}

// A backend that is not complete fails with a sentence that says what to change,
// and never with a panic of the suite.
func TestBadBackends(t *testing.T) {
	passes := func(*env) {}
	for name, c := range map[string]struct {
		spoil func(b *Backend, p *Place)
		rule  Rule
		want  string // part of the sentence
	}{
		"no Open":                {func(b *Backend, _ *Place) { b.Open = nil }, Rule{}, "Backend.Open is missing"},
		"Open returns nil":       {func(b *Backend, _ *Place) { b.Open = func(testing.TB) *Place { return nil } }, Rule{}, "Backend.Open returned nil"},
		"no Store":               {func(_ *Backend, p *Place) { p.Store = nil }, Rule{}, "Place.Store is missing"},
		"no Reopen":              {func(_ *Backend, p *Place) { p.Reopen = nil }, Rule{}, "Place.Reopen is missing"},
		"no Advance":             {func(_ *Backend, p *Place) { p.Advance = nil }, Rule{}, "Place.Advance is missing"},
		"no TTL":                 {func(_ *Backend, p *Place) { p.TTL = 0 }, Rule{}, "Place.TTL is 0s"},
		"a negative TTL":         {func(_ *Backend, p *Place) { p.TTL = -time.Hour }, Rule{}, "Place.TTL is -1h0m0s"},
		"a TTL that is short":    {func(_ *Backend, p *Place) { p.TTL = MinTTL - 1 }, Rule{}, "at least 5m0s"},
		"Keys not declared":      {func(_ *Backend, p *Place) { p.Keys = nil }, Rule{}, `Place.Keys is missing; set it, or list "keys"`},
		"Instance not declared":  {func(_ *Backend, p *Place) { p.Instance = nil }, Rule{}, `Place.Instance is missing; set it, or list "own clock"`},
		"scripts not declared":   {func(_ *Backend, p *Place) { p.FlushScripts = nil }, Rule{}, `Place.FlushScripts is missing; set it, or list "scripts"`},
		"legacy not declared":    {func(_ *Backend, p *Place) { p.PutLegacy = nil }, Rule{}, `Place.PutLegacy is missing; set it, or list "legacy"`},
		"tampering not declared": {func(_ *Backend, p *Place) { p.Tamper = nil }, Rule{}, `Place.Tamper is missing; set it, or list "tampering"`},
		"a lack it has not":      {func(b *Backend, _ *Place) { b.Lacks = []Ability{Legacy} }, Rule{}, `Backend.Lacks has "legacy", but the place has it`},
		"that lack, to its rule": {func(b *Backend, _ *Place) { b.Lacks = []Ability{Keys} }, Rule{ID: "x", Needs: Keys}, `Backend.Lacks has "keys", but the place has it`},
		"an unknown lack":        {func(b *Backend, _ *Place) { b.Lacks = []Ability{"speed"} }, Rule{}, `"speed", which is no ability`},
		"an empty lack":          {func(b *Backend, _ *Place) { b.Lacks = []Ability{""} }, Rule{}, `"", which is no ability`},
		"a lack twice":           {func(b *Backend, p *Place) { b.Lacks, p.Keys = []Ability{Keys, Keys}, nil }, Rule{}, `"keys" twice`},
		"Reopen returns nil": {
			func(_ *Backend, p *Place) { p.Reopen = func(testing.TB) store.Store { return nil } },
			Rule{check: func(e *env) { e.Reopen(e) }},
			"Place.Reopen returned nil",
		},
		"Instance returns nil": {
			func(_ *Backend, p *Place) {
				p.Instance = func(testing.TB, time.Duration, time.Duration) store.Store { return nil }
			},
			Rule{check: func(e *env) { e.Instance(e, time.Second, 0) }},
			"Place.Instance returned nil",
		},
		"a store that panics": {func(*Backend, *Place) {}, Rule{ID: "x", Sentence: "it works", check: func(e *env) { e.start() }}, "rule: it works\n\tcame: a panic"},
		"Open that fails": {
			func(b *Backend, _ *Place) {
				b.Open = func(tb testing.TB) *Place { tb.Fatal("no server"); return nil }
			}, Rule{}, "no server",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, p := complete()
			c.spoil(&b, p)
			if c.rule.check == nil {
				c.rule.check = passes
			}
			got := probed(t, func(tb testing.TB) { Check(tb, b, c.rule) })
			if !got.failed || got.skipped || !strings.Contains(got.report, c.want) {
				t.Errorf("failed %v, skipped %v, and said %q; want %q", got.failed, got.skipped, got.report, c.want)
			}
		})
	}
}

// A rule that was not taken from Rules has no check.
func TestForeignRule(t *testing.T) {
	b, _ := complete()
	got := probed(t, func(tb testing.TB) { Check(tb, b, Rule{ID: "S99"}) })
	if !got.failed || !strings.Contains(got.report, `"S99" is not one of Rules()`) {
		t.Errorf("failed %v: %s", got.failed, got.report)
	}
}

// A complete backend passes, and a lack that it declares and has skips the rule.
func TestGoodBackend(t *testing.T) {
	b, p := complete()
	rule := Rule{ID: "x", Needs: Legacy, check: func(e *env) { e.PutLegacy(e, e.owner, uuid.NewString(), 1, nil) }}
	if got := probed(t, func(tb testing.TB) { Check(tb, b, rule) }); got.failed || got.skipped {
		t.Errorf("failed %v, skipped %v: %s", got.failed, got.skipped, got.report)
	}
	b.Lacks, p.PutLegacy = []Ability{Legacy}, nil
	if got := probed(t, func(tb testing.TB) { Check(tb, b, rule) }); got.failed || !got.skipped {
		t.Errorf("failed %v, skipped %v: %s", got.failed, got.skipped, got.report)
	}
}

// Every ability that a rule needs is in the table of abilities.
func TestAbilities(t *testing.T) {
	known := map[Ability]bool{"": true}
	for _, a := range abilities {
		known[a.name] = true
	}
	for _, r := range Rules() {
		if !known[r.Needs] {
			t.Errorf("%s needs %q, which is not in the table", r.ID, r.Needs)
		}
	}
}
