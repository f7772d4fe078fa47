package contracttest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"parley/store"
)

// abilities are all abilities, each with the field of Place that gives it and
// whether a place has it.
var abilities = []struct {
	name  Ability
	field string
	in    func(p *Place) bool
}{
	{Keys, "Keys", func(p *Place) bool { return p.Keys != nil }},
	{OwnClock, "Instance", func(p *Place) bool { return p.Instance != nil }},
	{Scripts, "FlushScripts", func(p *Place) bool { return p.FlushScripts != nil }},
	{Legacy, "PutLegacy", func(p *Place) bool { return p.PutLegacy != nil }},
	{Damages, "Damage", func(p *Place) bool { return p.Damage != nil }},
	{Tampers, "Tamper", func(p *Place) bool { return p.Tamper != nil }},
}

// open opens a place, and fails tb with a sentence if the backend or the place is
// not what a rule can work with.
func (b Backend) open(tb testing.TB) *Place {
	tb.Helper()
	if fault := b.fault(); fault != "" {
		tb.Fatalf("contracttest: %s", fault)
	}
	p := b.Open(tb)
	if fault := b.faultOf(p); fault != "" {
		tb.Fatalf("contracttest: %s", fault)
	}
	guarded := *p
	guarded.Reopen = func(tb testing.TB) store.Store {
		tb.Helper()
		return opened(tb, p.Reopen(tb), "Reopen")
	}
	if p.Instance != nil {
		guarded.Instance = func(tb testing.TB, ttl, ahead time.Duration) store.Store {
			tb.Helper()
			return opened(tb, p.Instance(tb, ttl, ahead), "Instance")
		}
	}
	return &guarded
}

// opened fails tb if a function of a place gave no store.
func opened(tb testing.TB, s store.Store, by string) store.Store {
	tb.Helper()
	if s == nil {
		tb.Fatalf("contracttest: Place.%s returned nil; it must return another handle on the same data", by)
	}
	return s
}

// fault says what is wrong with a backend before a place is opened, "" if nothing is.
func (b Backend) fault() string {
	if b.Open == nil {
		return "Backend.Open is missing; it must make an empty place"
	}
	known := make([]Ability, len(abilities))
	for i, a := range abilities {
		known[i] = a.name
	}
	for i, lack := range b.Lacks {
		switch {
		case !slices.Contains(known, lack):
			return fmt.Sprintf("Backend.Lacks has %q, which is no ability; the abilities are %q", lack, known)
		case slices.Contains(b.Lacks[:i], lack):
			return fmt.Sprintf("Backend.Lacks has %q twice", lack)
		}
	}
	return ""
}

// faultOf says what is wrong with a place that the backend opened, "" if nothing is.
func (b Backend) faultOf(p *Place) string {
	switch {
	case p == nil:
		return "Backend.Open returned nil; it must return an empty place"
	case p.Store == nil:
		return "Place.Store is missing; it must be the store to check"
	case p.Reopen == nil:
		return "Place.Reopen is missing; it must open another handle on the same data"
	case p.Advance == nil:
		return "Place.Advance is missing; it must let time pass in the place"
	case p.TTL < MinTTL:
		return fmt.Sprintf("Place.TTL is %v; it must be the time to live of the store's conversations, at least %v", p.TTL, MinTTL)
	}
	for _, a := range abilities {
		switch lacks := slices.Contains(b.Lacks, a.name); {
		case lacks && a.in(p):
			return fmt.Sprintf("Backend.Lacks has %q, but the place has it; remove it from Lacks, or remove Place.%s", a.name, a.field)
		case !lacks && !a.in(p):
			return fmt.Sprintf("Place.%s is missing; set it, or list %q in Backend.Lacks", a.field, a.name)
		}
	}
	return ""
}
