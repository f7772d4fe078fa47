package matrix

import (
	"cmp"
	"testing"
	"time"

	"parley/contracttest/latency"
	"parley/store"
)

// The bounds that every cell is held to, beside what the machine is late by.
const (
	// Timeout is the least REDIS_TIMEOUT of a service whose calls are meant to time
	// out.
	Timeout = 800 * time.Millisecond
	// AgentTimeout is the least COPILOT_TIMEOUT where the agent is meant to time out.
	AgentTimeout = time.Second
	// Patience is the timeout of everything else. No machine is so slow that it
	// passes before the fault shows, so the fault alone decides the class. How soon
	// the answer comes is checked beside that.
	Patience = 30 * time.Second
	// Slack is what an answer may take beside waiting for Redis.
	Slack = 250 * time.Millisecond
	// AtOnce is what it may take where nothing has to be waited for: too little
	// for anybody to have waited.
	AtOnce = 500 * time.Millisecond
	// Recovery is how long the first good answer may take once Redis is back.
	Recovery = 1500 * time.Millisecond
	// HealthRecovery is how long /health and /readyz may take to tell that Redis
	// went or came back: their probe runs every second, and may wait for an answer
	// as long as that.
	HealthRecovery = Recovery + time.Second
)

// Bounds are the times that a service is held to. A zero stands for Parley's, which
// is the constant of that name.
type Bounds struct {
	Slack, AtOnce, Recovery, HealthRecovery time.Duration
	// Lease is how long a turn that nobody runs any more may hold its conversation.
	Lease time.Duration
	// GiveUp is how long an answer is waited for that may never come.
	GiveUp time.Duration
}

// giveUp is GiveUp of Parley: it answers, however late.
const giveUp = time.Minute

// OrParleys puts Parley's where there is a zero.
func (b Bounds) OrParleys() Bounds {
	return Bounds{
		Slack: cmp.Or(b.Slack, Slack), AtOnce: cmp.Or(b.AtOnce, AtOnce), Recovery: cmp.Or(b.Recovery, Recovery),
		HealthRecovery: cmp.Or(b.HealthRecovery, HealthRecovery), Lease: cmp.Or(b.Lease, store.LeaseTime), GiveUp: cmp.Or(b.GiveUp, giveUp),
	}
}

// An answer has several steps that the machine can be late with; and what is meant
// to succeed within a timeout has more of them.
const (
	stepsOfAnswer  = 5
	stepsOfTimeout = 50
)

// limits are the times of one row, on the machine as it is while the row runs.
type limits struct {
	Bounds
	baseline *latency.Baseline
	// timeout and agentTimeout are Timeout and AgentTimeout, or more on a machine
	// on which something could time out that is meant to succeed.
	timeout, agentTimeout time.Duration
}

func measure(tb testing.TB, b Bounds) limits {
	tb.Helper()
	l := limits{Bounds: b.OrParleys(), baseline: latency.Watch(tb)}
	least := stepsOfTimeout * l.baseline.Max()
	l.timeout, l.agentTimeout = max(Timeout, least), max(AgentTimeout, least)
	return l
}

// late is what an answer may be late by for no fault but the machine's.
func (l limits) late() time.Duration { return stepsOfAnswer * l.baseline.Max() }

// atOnce bounds an answer that waits for nothing.
func (l limits) atOnce() time.Duration { return l.AtOnce + l.late() }

// waited bounds an answer that may wait for Redis until the timeout.
func (l limits) waited() time.Duration { return l.timeout + l.Slack + l.late() }
