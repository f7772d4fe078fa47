package main

import (
	"slices"
	"testing"
)

// Every setting is in one group, every group has some, and each has a sentence.
func TestGroups(t *testing.T) {
	seen := map[string]string{}
	for g, in := range grouped() {
		if g.about == "" || len(in) == 0 {
			t.Errorf("%q says nothing, or has no settings", g.name)
		}
		for _, s := range in {
			if seen[s.name] != "" {
				t.Errorf("%s is in %q and in %q", s.name, seen[s.name], g.name)
			}
			seen[s.name] = g.name
		}
	}
	for _, s := range settings() {
		if seen[s.name] == "" {
			t.Errorf("%s is in no group: there is no %q", s.name, s.group)
		}
	}
	for _, name := range firstSettings() {
		if seen[name] != groupFirst {
			t.Errorf("%s is named as one of the first, and is no setting", name)
		}
	}
}

// What has to be filled in wherever it runs is among the first.
func TestFirstSettings(t *testing.T) {
	first := firstSettings()
	if len(first) != 10 {
		t.Errorf("%d are named as the first ten", len(first))
	}
	cases := map[string]int{}
	for _, c := range initCases() {
		for _, l := range c.lines {
			if l.value == "" {
				cases[l.name]++
			}
		}
	}
	everywhere := len(initCases()) - 1 // the local one has nothing to fill in
	for name, n := range cases {
		if n == everywhere && !slices.Contains(first, name) {
			t.Errorf("parley init asks for %s in every case, and it is not among the first", name)
		}
	}
}
