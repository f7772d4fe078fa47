package main

import (
	"iter"
	"slices"
)

// group is settings that are looked for together. --help, .env.example and README.md
// have all of them in this order.
type group struct {
	name  string
	about string // one sentence
}

// groups are the table of them: what nearly everybody sets, then the rest by its room.
func groups() []group {
	return []group{
		{groupFirst, "What nearly every service is given. All else has a default that serves, or is for a case of its own."},
		{"HTTP", "Where the API listens, and what is served beside it."},
		{"Limits", "How much is worked on at once, and how long a request waits, before it is turned away."},
		{"Operation", "What balancers and operators reach, and how the service stops."},
		{"Store", "What is kept of conversations, for how long and under which keys, in Redis or in memory."},
		{"Redis of several nodes", "Where the nodes of a cluster or the sentinels are, and how many replicas must have an answer."},
		{"Redis, certificates", "What rediss:// trusts, and what it shows."},
		{"Redis, password", "Where the password comes from, if not from REDIS_URL: a file, or tokens of Entra ID."},
		{"Sign-in", "Whose tokens let a caller in, and which of them."},
		{"Agent", "Where the agent is, how it is signed in to, and how long and how much it may answer."},
		{"Cards", "What a user may do with an adaptive card."},
		{"Telemetry", "What is logged, and what is seen of requests in metrics and traces."},
	}
}

// groupFirst is of the settings that firstSettings names. They are not in the group of
// their row, so that each is written once.
const groupFirst = "To begin with"

// firstSettings are in the order in which somebody fills them in.
func firstSettings() []string {
	return []string{
		"REDIS_URL",
		"COPILOT_DIRECT_CONNECT_URL", "COPILOT_TENANT_ID", "COPILOT_APP_ID", "COPILOT_CLIENT_SECRET",
		"AZURE_TENANT_NAME", "AZURE_CLIENT_ID", "ALLOWED_TENANT_IDS", "AUTH_SCOPES", "CORS_ORIGIN",
	}
}

// grouped gives every setting once, group by group.
func grouped() iter.Seq2[group, []setting] {
	return func(yield func(group, []setting) bool) {
		rest, first := map[string][]setting{}, firstSettings()
		for _, s := range settings() {
			if slices.Contains(first, s.name) {
				s.group = groupFirst
			}
			rest[s.group] = append(rest[s.group], s)
		}
		slices.SortFunc(rest[groupFirst], func(a, b setting) int {
			return slices.Index(first, a.name) - slices.Index(first, b.name)
		})
		for _, g := range groups() {
			if !yield(g, rest[g.name]) {
				return
			}
		}
	}
}
