// Package contracttest is the contract of store.Store as a suite that any
// implementation can be run against. A rule is data: an id that points to the
// numbered rules of the interface, one sentence, the ability that it needs of
// the backend, and a check.
//
// A backend joins with Run. Rules lists the rules, and Check runs one of them,
// so a backend can also be tried rule by rule; example_test.go shows both for a
// store of your own. The suite does not trust the backend that it is given: one
// that is incomplete, or that declares the wrong abilities, fails with a sentence
// that says what to change.
package contracttest

import (
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/store"
)

// Ability is something that some rules need and not every backend has.
type Ability string

// The abilities. Each is a field of Place with the same name, but for OwnClock,
// which is Instance, and the last three, which are FlushScripts, PutLegacy and Damage.
const (
	Keys     Ability = "keys"      // the stored keys can be listed with their times to live
	OwnClock Ability = "own clock" // the place expires conversations by a real clock of its own
	Scripts  Ability = "scripts"   // the place has a script cache that it can lose
	Legacy   Ability = "legacy"    // records of the legacy service can be stored in the place
	Damages  Ability = "damages"   // entries of lists can be damaged
	Tampers  Ability = "tampering" // stored records can be changed behind the store's back
)

// Backend says how to reach an implementation.
type Backend struct {
	// Open makes an empty place for one rule and closes it with tb.Cleanup.
	Open func(tb testing.TB) *Place
	// Lacks lists the abilities that the backend does not have. A rule that needs
	// one of them is skipped. An ability that is neither listed here nor present
	// in the place fails the backend, and so does one that is both, so no rule is
	// skipped by accident.
	Lacks []Ability
}

// MinTTL is the shortest Place.TTL with which the rules can tell what has expired
// from what has been renewed.
const MinTTL = 5 * time.Minute

// Place is where a rule runs. Its stores must take the time from one clock, which
// Advance moves: usually a Clock.
type Place struct {
	Store store.Store
	// Reopen opens another handle on the same data, as a second replica would.
	Reopen func(tb testing.TB) store.Store
	// Advance lets time pass for everything in the place.
	Advance func(tb testing.TB, d time.Duration)
	// TTL is how long a conversation outlives its last write; at least MinTTL.
	TTL time.Duration

	// Keys lists everything that is stored in the place. Nil without the ability Keys.
	Keys func(tb testing.TB) []Key
	// Instance opens another handle, as an instance would that has a time to live of
	// its own and a clock that is ahead by that much. The place goes by its own
	// clock, which is real. Nil without OwnClock.
	Instance func(tb testing.TB, ttl, ahead time.Duration) store.Store
	// FlushScripts empties the script cache. Nil without Scripts.
	FlushScripts func(tb testing.TB)
	// PutLegacy stores a record as the legacy service did, and its entry in the
	// user's index; only the entry if the record is nil. Nil without Legacy.
	PutLegacy func(tb testing.TB, o store.Owner, id string, score float64, record []byte)
	// Damage makes a conversation's entry in the list one that does not decode. Nil
	// without Damages.
	Damage func(tb testing.TB, o store.Owner, id string)
	// Tamper changes a stored conversation, and undo takes it back. Nil without
	// Tampers.
	Tamper func(tb testing.TB, o store.Owner, id string, t Tampering) (undo func())
}

// Tampering is something that happens to a stored conversation.
type Tampering string

// The kinds of tampering.
const (
	NewerVersion Tampering = "newer version"   // it was written by a version that is not known
	BadField     Tampering = "bad field"       // a field that means something means nothing
	NoMessages   Tampering = "messages gone"   // evicted, or deleted by hand
	NoFields     Tampering = "all fields gone" // likewise; the messages are left
)

// Key is one stored key.
type Key struct {
	Name string
	TTL  time.Duration // negative if it never expires
}

// Clock is a clock that stands still until it is moved.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock makes a clock that starts at the current time, because some places also
// use a real clock.
func NewClock() *Clock { return &Clock{now: time.Now().UTC().Truncate(time.Millisecond)} }

// Now returns the time that the clock shows.
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

// Rule is one promise of store.Store. Only Rules makes rules.
type Rule struct {
	ID       string  // "S7.stale": the number of the rule in store.Store, a dot, a word
	Sentence string  // what must hold; it is printed when the rule fails
	Needs    Ability // the ability without which the rule is skipped; empty for none
	check    func(e *env)
}

// String gives the id and the sentence.
func (r Rule) String() string { return r.ID + ": " + r.Sentence }

// Rules returns all rules in the order of the interface.
func Rules() []Rule {
	return slices.Concat(recordRules(), rangeRules(), boundRules(), turnRules(), endRules(), repeatRules(), keyRules(), listRules(), pagingRules(), lifeRules(), relayRules(), legacyRules(), damageRules())
}

// Run checks the backend and then every rule against it, each in a place of its
// own and as a subtest with the rule's id.
func Run(t *testing.T, b Backend) {
	t.Helper()
	if !t.Run("backend", func(t *testing.T) { b.open(t) }) {
		return // every rule would say the same
	}
	for _, r := range Rules() {
		t.Run(r.ID, func(t *testing.T) { Check(t, b, r) })
	}
}

// Check checks one rule against b. It fails tb when the rule does not hold, when
// the store panics, and when the backend is not complete; it skips tb when the
// backend lacks what the rule needs.
func Check(tb testing.TB, b Backend, r Rule) {
	tb.Helper()
	if r.check == nil {
		tb.Fatalf("the rule %q is not one of Rules()", r.ID)
	}
	defer func() {
		if p := recover(); p != nil {
			tb.Fatalf("%s\n\trule: %s\n\tcame: a panic: %v\n%s", r.ID, r.Sentence, p, debug.Stack())
		}
	}()
	place := b.open(tb)
	if r.Needs != "" && slices.Contains(b.Lacks, r.Needs) {
		tb.Skipf("the backend declares that it lacks %s", r.Needs)
	}
	r.check(&env{TB: tb, Place: place, rule: r, owner: NewOwner()})
}

// NewOwner makes an owner that nobody else has, so the suite can also run in a
// place that others use and that is never emptied.
func NewOwner() store.Owner { return store.Owner{Tenant: uuid.NewString(), User: uuid.NewString()} }

// env is what a check works with: the place, and helpers for the steps that many
// rules share. Every failure prints the rule's sentence.
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
