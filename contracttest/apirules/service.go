// Package apirules is the contract of the HTTP API as rules that any server can be
// held to, in this process or in one of its own. A rule is data: an id, one sentence,
// why it matters, how it is tried, the claims that it needs, and a check.
//
// What an API answers while Redis or the agent is unwell is the matrix's matter
// (contracttest/matrix); these rules are about a server that is well, that is killed,
// and that has company.
package apirules

import (
	"fmt"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"parley/contracttest/apispec"
	"parley/contracttest/claims"
	"parley/contracttest/matrix"
)

// Wiring says what an instance is to be connected to. Where a field is empty, the
// server's own default holds.
type Wiring struct {
	matrix.Settings
	TTL      time.Duration // that a conversation outlives its last write
	TurnWait time.Duration // that a turn waits for the one before it

	// Where callers sign in; empty where they do not.
	Issuer, IssuerKeys, IssuerCAFile, Audience, Tenants string
	// OTLP is the base URL for telemetry; empty for none.
	OTLP string
}

// Instance is a server that runs.
type Instance struct {
	Base string // the URL below which it answers
	// Kill ends it as a crash does, and returns when it has ended. Nil where it cannot
	// be killed.
	Kill func()
	// Log is what it has printed so far, or its end. Nil where that cannot be read.
	Log func() string
}

// Subject is what the rules are tried on.
type Subject struct {
	// Start starts an instance, which ends with tb.
	Start func(tb testing.TB, w Wiring) Instance
	// Redis is where conversations are kept; nil for the server's memory.
	Redis matrix.Redis
	// OwnRedis starts one that nobody else uses; nil where there is only the one.
	OwnRedis func(tb testing.TB, flags ...string) matrix.Redis
	// Fixed says that Start gives an instance that runs already, with an agent and a
	// Redis of its own.
	Fixed bool

	Lacks    claims.Lacking
	Bounds   matrix.Bounds
	Document *apispec.Document // what answers are checked against; needed for the claim schema
	// Saw is told of every exchange, if it is not nil.
	Saw func(sent, came string)
}

// Rule is one promise of the API. Only Rules makes rules.
type Rule struct {
	ID       string // a chapter, a dot, a word or more
	Chapter  string
	Sentence string // what must hold
	Why      string // what breaks for whom if it does not
	How      string // what is done to find out
	Needs    []claims.Claim

	// OnRedis rules make no sense for conversations in memory.
	OnRedis bool
	// Wired rules need an agent, or settings, of the suite's own choice.
	Wired bool

	check func(e *env)
}

// String gives the id and the sentence.
func (r Rule) String() string { return r.ID + ": " + r.Sentence }

// Rules returns all rules, chapter by chapter.
func Rules() []Rule {
	return slices.Concat(shapeRules(), refusalRules(), ownerRules(), turnRules(), togetherRules(), streamRules(), lifeRules(), signalRules())
}

// Unfit says why a rule cannot be tried on a subject; empty if it can.
func (r Rule) Unfit(s Subject) string {
	switch missing := s.Lacks.Missing(r.Needs...); {
	case missing != nil:
		return fmt.Sprintf("not claimed: %s", joined(missing))
	case s.Fixed && (r.Wired || r.OnRedis):
		return "the server runs already, and this needs one that the suite starts"
	case r.OnRedis && s.Redis == nil:
		return "conversations are in memory"
	}
	return ""
}

// Tested are the claims that the rule finds to be broken.
func (r Rule) Tested() []claims.Claim {
	tested := append(slices.Clone(r.Needs), claims.Schema)
	if r.Chapter == "refusals" {
		tested = append(tested, claims.Classes, claims.Problems)
	}
	return tested
}

func joined(all []claims.Claim) string {
	text := ""
	for i, c := range all {
		if i > 0 {
			text += ", "
		}
		text += string(c)
	}
	return text
}

// Check checks one rule. It fails tb when the rule does not hold, and skips it where
// the subject does not claim it.
func Check(tb testing.TB, s Subject, r Rule) {
	tb.Helper()
	if r.check == nil {
		tb.Fatalf("the rule %q is not one of Rules()", r.ID)
	}
	if why := r.Unfit(s); why != "" {
		tb.Skip(why)
	}
	defer func() {
		if p := recover(); p != nil {
			tb.Fatalf("a panic: %v\n%s", p, debug.Stack())
		}
	}()
	e := newEnv(tb, s, r)
	r.check(e)
}
