package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"parley/contracttest/apirules"
	"parley/contracttest/claims"
	"parley/contracttest/matrix"
	"parley/contracttest/report"
)

// unit is what is run at once: a rule, or a row of the matrix with all its cells.
type unit struct {
	name     string // of the rule or the row
	rules    []report.Rule
	why, how string
	skip     string // why it is not tried; empty if it is
	alone    bool   // nothing else is tried meanwhile
	tested   []claims.Claim
	// try runs it once and gives what came, by the ids of its rules.
	try func(a *attempt) map[string]report.Finding
}

// attempt is one try of a unit.
type attempt struct {
	testing.TB
	rig    *rig
	unit   unit
	isRule bool     // and no row of the matrix
	broken []string // the claims that a failure breaks, for a rule

	mu     sync.Mutex
	failed error  // why the server did not start, if it did not
	sent   string // the last that was asked
}

// saw notes what was asked last.
func (a *attempt) saw(sent, _ string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sent = sent
}

// chosen reports whether a column of a row was chosen.
func (a *attempt) chosen(column string) bool {
	return slices.ContainsFunc(a.unit.rules, func(r report.Rule) bool { return r.Column == column })
}

// The chapters of the matrix.
const (
	faultsOfRedis = "faults of Redis"
	faultsOfAgent = "faults of the agent"
)

const (
	whyRedis = "Redis fails in many ways, and a caller has to be told that it is the store, in time, and to lose nothing; an operator has to know which of the two broke"
	howRedis = "the server reaches Redis through a proxy; a conversation is begun, the fault is set, every column is asked at the same time, the fault is healed, " +
		"and without a restart the server must work again and have all that was acknowledged, once"
	whyAgent = "the agent is somebody else's and fails in many ways; its failures must not be told as the store's, and the turn that failed must leave the conversation usable"
	howAgent = "the emulated agent misbehaves; the route is asked once, then again with an agent that is well, and the history is read"
)

// plan lists everything that there is, and of what is not tried why.
func plan(o *options, lacks claims.Lacking, bounds matrix.Bounds) []unit {
	s := apirules.Subject{Lacks: lacks, Fixed: o.url != ""}
	if o.store == onRedis {
		s.Redis = planned{}
	}
	var all []unit
	for _, r := range apirules.Rules() {
		all = append(all, unit{
			name: r.ID, why: r.Why, how: r.How, skip: r.Unfit(s), tested: r.Tested(),
			rules: []report.Rule{{ID: r.ID, Chapter: r.Chapter, Sentence: r.Sentence}},
			try:   func(a *attempt) map[string]report.Finding { return a.rule(r) },
		})
	}
	target := matrix.Target{Lacks: lacks, Bounds: bounds}
	for _, r := range matrix.Rows() {
		if r.Omitted != "" {
			continue
		}
		for _, secure := range r.Modes() {
			if o.quick && (!r.Sampled() || secure && len(r.Modes()) > 1) {
				continue
			}
			u := unit{
				name: r.Name(secure), why: whyRedis, how: howRedis, tested: r.Tested(secure),
				try: func(a *attempt) map[string]report.Finding { return a.row(r, secure) },
			}
			cells := r.Plan(target, secure)
			missing := r.Unclaimed(target, secure)
			switch {
			case s.Fixed:
				u.skip = "the server runs already, and this needs one that the suite starts"
			case o.store == inMemory:
				u.skip = "conversations are in memory"
			case len(missing) > 0:
				u.skip = "not claimed: " + joined(missing)
			case o.redisURL != "" && r.OwnRedis():
				u.skip = "it needs a Redis of its own, which --redis-url is not"
			}
			u.add(cells, r.Plan(matrix.Target{}, secure), faultsOfRedis)
			all = append(all, u)
		}
	}
	for _, r := range matrix.UpstreamRows() {
		if r.Omitted != "" || o.quick && !r.Sampled() {
			continue
		}
		u := unit{
			name: r.ID, why: whyAgent, how: howAgent, tested: r.Tested(),
			try: func(a *attempt) map[string]report.Finding { return a.upstream(r) },
		}
		switch missing := lacks.Missing(r.Needs()...); {
		case s.Fixed:
			u.skip = "the server runs already, with an agent of its own"
		case len(missing) > 0:
			u.skip = "not claimed: " + joined(missing)
		}
		u.add(r.Plan(target), r.Plan(matrix.Target{}), faultsOfAgent)
		all = append(all, u)
	}
	all = append(all, attacks(o, lacks)...)
	for i := range all {
		for j := range all[i].rules {
			all[i].rules[j].Command = o.again(all[i].rules[j].ID)
		}
	}
	if o.seed != 0 {
		rand.New(rand.NewPCG(o.seed, o.seed)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
	return all
}

// planned stands for the Redis that there will be.
type planned struct{ matrix.Redis }

// add puts the cells of a row into a unit: those that a server claims, and if there
// are none, all that it does not.
func (u *unit) add(claimed, everything []matrix.Cell, chapter string) {
	if len(claimed) == 0 {
		claimed = everything
		if u.skip == "" {
			u.skip = "not claimed: any of its columns"
		}
	}
	for _, c := range claimed {
		r := c.Rule()
		r.Chapter = chapter
		u.rules = append(u.rules, r)
	}
}

func joined(all []claims.Claim) string { return strings.Join(names(all), ", ") }

// only leaves what the patterns select, in units and in their rules. A pattern that is
// the name of a row selects the whole row.
func only(all []unit, patterns []string) ([]unit, error) {
	if len(patterns) == 0 {
		return all, nil
	}
	var parsed []report.Pattern
	for _, text := range patterns {
		p, err := report.ParsePattern(text)
		if err != nil {
			return nil, fmt.Errorf("--only %q is no pattern: %w", text, err)
		}
		parsed = append(parsed, p)
	}
	used := make([]bool, len(parsed))
	matches := func(id string) bool {
		found := false
		for i, p := range parsed {
			if p.Matches(id) {
				used[i], found = true, true
			}
		}
		return found
	}
	var some []unit
	for _, u := range all {
		if !matches(u.name) {
			u.rules = slices.DeleteFunc(slices.Clone(u.rules), func(r report.Rule) bool { return !matches(r.ID) })
		}
		if len(u.rules) > 0 {
			some = append(some, u)
		}
	}
	for i, p := range parsed {
		if !used[i] {
			return nil, fmt.Errorf("--only %s matches no rule: --list lists them", p)
		}
	}
	return some, nil
}

// again is the command line that tries one rule alone.
func (o *options) again(id string) string {
	words := []string{"parley-contract", "run"}
	flag := func(name, value, usual string) {
		if value != usual {
			words = append(words, name, quoted(value))
		}
	}
	flag("--profile", o.profile, "parley")
	flag("--store", o.store, onRedis)
	flag("--redis-server", o.redisServer, "")
	if o.redisURL != "" {
		words = append(words, "--redis-url", "…", "--redis-may-be-flushed")
	}
	flag("--url", o.url, "")
	words = append(words, "--only", quoted(id))
	if len(o.words) > 0 {
		words = append(words, "--")
		for _, w := range o.words {
			words = append(words, quoted(w))
		}
	}
	return strings.Join(words, " ")
}

// quoted is a word for a shell.
func quoted(word string) string {
	const plain = "-_./:=,@%+abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
