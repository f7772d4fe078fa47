package matrix

import "slices"

// sample names the rows that every test run has, on a real Redis that is unwell
// itself where that is possible. `make contract` runs all. Every class that any
// row expects is expected by one of these.
func sample() []string {
	return []string{
		"refused", "stopped", "full", "password-rotated", "no-replicas", "loading", "moved", "corrupt", "garbage-text", "rejected", "slow",
		"crowd", "runner-paused", "certificate-unknown",
		"agent-refused", "agent-429-after", "agent-401", "agent-500", "agent-html", "agent-cut", "agent-silent", "agent-error",
	}
}

// sampledShards are the rows of several nodes that every test run has: a shard that is
// away, a failover, a slot at each key of its way, and what health says.
func sampledShards() []string {
	return []string{"shard-refused", "planned-failover", "slot-half-moved", "single-for-replica", "health"}
}

// Sampled reports whether the row is part of every test run.
func (r Row) Sampled() bool { return slices.Contains(sample(), r.ID) }

// Sampled reports whether the row is part of every test run.
func (r UpstreamRow) Sampled() bool { return slices.Contains(sample(), r.ID) }
