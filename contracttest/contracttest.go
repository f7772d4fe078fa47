// Package contracttest is the contract of store.Store as a suite that any
// implementation can be run against. A rule is data: an id that points to the
// numbered rules of the interface, one sentence, what it needs of the place it
// runs in, and a check.
package contracttest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/store"
)

// Ability is something that not every backend can offer a rule.
type Ability string

// The abilities.
const (
	Keys     Ability = "keys"      // what is kept can be listed, with times to live
	Scripts  Ability = "scripts"   // there is a script cache to lose
	OwnClock Ability = "own clock" // the place expires things by itself
	Legacy   Ability = "legacy"    // records of the legacy service can be put there
)

// Backend says how to get at an implementation.
type Backend struct {
	// Open makes an empty place, and closes it by tb.Cleanup.
	Open func(tb testing.TB) *Place
	// Lacks lists what the backend cannot offer. A rule that needs it is
	// skipped, and only such a rule may be.
	Lacks []Ability
}

// Place is where a rule runs. Stores opened on it take the time from Clock.
type Place struct {
	Store store.Store
	// Reopen opens another handle on the same data, as a second replica would.
	Reopen func(tb testing.TB) store.Store
	// Advance lets time pass for everything in the place.
	Advance func(tb testing.TB, d time.Duration)
	// TTL is how long a conversation outlives its last write; at least a minute.
	TTL time.Duration

	Keys         func(tb testing.TB) []Key                                    // for Keys
	FlushScripts func(tb testing.TB)                                          // for Scripts
	WithTTL      func(tb testing.TB, ttl time.Duration) store.Store           // for OwnClock: another handle, on the real clock
	PutLegacy    func(tb testing.TB, o store.Owner, id string, record []byte) // for Legacy
}

// Key is one thing that is kept.
type Key struct {
	Name string
	TTL  time.Duration // negative if it never expires
}

// Clock is a clock that stands still until it is moved.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock starts at the current time, because some places have a real clock
// beside it.
func NewClock() *Clock { return &Clock{now: time.Now().UTC().Truncate(time.Millisecond)} }

// Now is the time that the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Rule is one promise.
type Rule struct {
	ID       string // S<number of the rule in store.Store> and a word
	Sentence string
	Needs    Ability // empty for none
	check    func(e *env)
}

// Rules returns all rules in the order of the interface.
func Rules() []Rule {
	return slices.Concat(recordRules(), turnRules(), repeatRules(), keyRules(), listRules(), lifeRules())
}

// Run checks every rule against b, each in a place of its own.
func Run(t *testing.T, b Backend) {
	t.Helper()
	for _, r := range Rules() {
		t.Run(r.ID, func(t *testing.T) { Check(t, b, r) })
	}
}

// Check checks one rule against b.
func Check(tb testing.TB, b Backend, r Rule) {
	tb.Helper()
	if r.Needs != "" && slices.Contains(b.Lacks, r.Needs) {
		tb.Skipf("the backend declares that it lacks %s", r.Needs)
	}
	e := &env{TB: tb, Place: b.Open(tb), rule: r, owner: NewOwner()}
	r.check(e)
}

// NewOwner is an owner that nobody else has, so that the suite also runs in a
// place that is shared and lasts.
func NewOwner() store.Owner { return store.Owner{Tenant: uuid.NewString(), User: uuid.NewString()} }

// env is what a check works with: the place, and shorter words for what rules
// do again and again. Failures name the rule's sentence.
type env struct {
	testing.TB
	*Place
	rule  Rule
	owner store.Owner
}

// broken reports that the rule does not hold.
func (e *env) broken(format string, args ...any) {
	e.Helper()
	e.Fatalf("%s\n\trule: %s\n\tcame: %s", e.rule.ID, e.rule.Sentence, fmt.Sprintf(format, args...))
}

// must reports an error where there must be none.
func (e *env) must(err error, doing string) {
	e.Helper()
	if err != nil {
		e.broken("%s: %v", doing, err)
	}
}
