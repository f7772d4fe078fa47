package matrix

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"parley/contracttest/redistest"
)

// The chapter "shards": a Redis of several nodes, of which one is unwell, while two
// instances are under load. What is judged is every call of every shard: those that
// are well must notice nothing, the one that is hurt must say so at once and be back
// soon, and whatever was acknowledged must be there, once.

// Deployment is a kind of Redis of several nodes.
type Deployment string

// The deployments. A row says on which it is tried.
const (
	// Bare is a cluster without replicas, whose nodes serve while others are away.
	Bare Deployment = "a cluster without replicas"
	// Paired is such a cluster with a replica of each primary.
	Paired Deployment = "a cluster with replicas"
	// Covered is that, and its nodes refuse while any slot has no primary.
	Covered Deployment = "a cluster with replicas and full coverage"
	// Watched is a primary with two replicas and three sentinels.
	Watched Deployment = "a primary with sentinels"
)

// Deployments are all of them.
func Deployments() []Deployment { return []Deployment{Bare, Paired, Covered, Watched} }

// After how long the nodes of a cluster, or the sentinels, take a node for failed that
// says nothing.
const (
	nodeTimeout = 2 * time.Second
	// calmTimeout is for rows in which they have nothing to notice: no machine stands
	// still for that long.
	calmTimeout = 30 * time.Second
)

// The stores sign in as a user of their own, so that a node can refuse them alone.
const (
	serviceUser = "parley"
	servicePass = "a-password"
)

// ShardRow is a fault of one node, or of those who watch, and what is promised.
type ShardRow struct {
	ID    string // of letters, digits and dashes
	Fault string // one sentence
	On    Deployment
	Wait  int // REDIS_WAIT_REPLICAS

	// Hurt lists what calls of the shard that is hurt answer beside success, and
	// Others what those of the other shards do; nil for nothing.
	Hurt, Others Expect
	// Down is how many shards do not serve while a fault stands that is healed.
	Down int
	// Opens says that the hurt shard answers at once after some failures.
	Opens bool
	// Promotes says that the fault ends when a replica has become the primary; else
	// it is healed.
	Promotes bool
	// Unnoticed says that nothing of the shard has to wait for the fault.
	Unnoticed bool
	// Noticed says that the other nodes have to notice the fault.
	Noticed bool
	// Back is how long the hurt shard may fail after that; Recovery if 0.
	Back time.Duration
	// Breaks says that connections break, so that a call may be sent a second time.
	Breaks bool
	// Loses says that acknowledged turns may be lost, and that what is read may be
	// stale. Control rows must lose some: else the one beside them, which waits for a
	// replica, would show nothing.
	Loses, Control bool

	// Fronted instances know one address, which leads to a node wherever that goes.
	Fronted bool

	// try is for rows that need no load: it gives what is not as promised.
	try    func(b *shardbed, t Target) []string
	inject func(b *shardbed)
	heal   func(b *shardbed) // ends the fault; nil for what ends by itself
	repair func(b *shardbed) // what the next row needs beside that; nil for nothing
}

// ShardEntry is what came of a row.
type ShardEntry struct {
	ID    string
	Fault string
	On    Deployment

	Calls   int
	Hurt    map[string]int // answers of the hurt shard from the fault on, by class
	Others  map[string]int // of the other shards, all the time
	Calm    time.Duration  // the other shards' p99 before the fault
	Under   time.Duration  // and during it
	Open    time.Duration  // the hurt shard's p99 once it answers at once
	Back    time.Duration  // from the end of the fault to its first good answer
	Settled time.Duration
	Machine time.Duration // what the machine was late by
	Stalled int           // calls that timed out while it stood still, which are not judged
	Acked   int           // turns
	Lost    int
	Late    int // of Lost, those acknowledged in the moment before the fault
	Doubled int
	Ran     int // the most that a command of one call ran
	Broken  []string
}

// Deployed is a deployment that runs. Rows are tried on it one after the other.
type Deployed struct {
	kind      Deployment
	cluster   *redistest.Cluster   // nil for Watched
	sentinels *redistest.Sentinels // nil for the others
}

// Deploy starts a deployment, which ends with tb.
func Deploy(tb testing.TB, kind Deployment) *Deployed {
	tb.Helper()
	d := &Deployed{kind: kind}
	user := redistest.Flags("--user", serviceUser, "on", ">"+servicePass, "~*", "&*", "+@all")
	timeout := redistest.NodeTimeout(nodeTimeout) // see newShardbed
	switch kind {
	case Bare:
		d.cluster = redistest.StartCluster(tb, user, timeout, redistest.PartialCoverage(), redistest.Movable())
	case Paired:
		d.cluster = redistest.StartCluster(tb, user, timeout, redistest.PartialCoverage(), redistest.Replicas(1))
	case Covered:
		d.cluster = redistest.StartCluster(tb, user, timeout, redistest.Replicas(1))
	case Watched:
		d.sentinels = redistest.StartSentinel(tb, user, redistest.Replicas(2), redistest.DownAfter(nodeTimeout))
	default:
		tb.Fatalf("there is no deployment %q", kind)
	}
	return d
}

// nodes are those that keep data.
func (d *Deployed) nodes() []*redistest.Node {
	if d.cluster != nil {
		return d.cluster.Nodes
	}
	return d.sentinels.Nodes
}

// primaries are the primaries of the shards, in the order of their slots.
func (d *Deployed) primaries(tb testing.TB) []*redistest.Node {
	tb.Helper()
	if d.cluster == nil {
		return []*redistest.Node{d.sentinels.Primary(tb)}
	}
	var all []*redistest.Node
	for _, slot := range d.cluster.Firsts() {
		all = append(all, d.cluster.Primary(tb, slot))
	}
	return all
}

func (d *Deployed) await(tb testing.TB) {
	tb.Helper()
	if d.cluster != nil {
		d.cluster.AwaitSettled(tb)
		return
	}
	d.sentinels.AwaitSettled(tb)
}

// settings lead a store there.
func (d *Deployed) settings(prefix string, timeout time.Duration, wait int) Settings {
	w := Settings{Prefix: prefix, Timeout: timeout, WaitReplicas: wait, Mode: "cluster"}
	addrs := d.addrs()
	if d.sentinels != nil {
		w.Mode, w.SentinelMaster = "sentinel", redistest.SentinelMaster
	}
	w.RedisURL = fmt.Sprintf("redis://%s:%s@%s", serviceUser, servicePass, addrs[0])
	w.Nodes = slices.Clone(addrs[1:])
	return w
}

// addrs are where a client begins to ask.
func (d *Deployed) addrs() []string {
	if d.sentinels != nil {
		return d.sentinels.Addrs()
	}
	return d.cluster.Addrs()
}
