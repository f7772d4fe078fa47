package matrix

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
)

// ShardRows are all faults of a Redis of several nodes.
func ShardRows() []ShardRow {
	return slices.Concat(bareRows(), pairedRows(), coveredRows(), watchedRows(), modeRows())
}

// What calls of a shard end with whose primary has gone, or is being replaced.
var gone = Expect{"store_unreachable", "store_timeout", "store_not_ready", "store_readonly"}

func stop(b *shardbed)    { b.hurt.Stop(b.tb) }
func goOn(b *shardbed)    { b.hurt.Continue(b.tb) }
func kill(b *shardbed)    { b.hurt.Kill(b.tb) }
func restart(b *shardbed) { b.hurt.Restart(b.tb) }
func healed(b *shardbed)  { b.hurt.Proxy.Heal() }

// set is a fault at the proxy of the hurt primary.
func set(f faultproxy.Fault) func(b *shardbed) {
	return func(b *shardbed) { b.hurt.Proxy.Set(f) }
}

// tell is a command to the hurt primary itself.
func tell(words ...any) func(b *shardbed) {
	return func(b *shardbed) {
		b.tb.Helper()
		if err := b.hurt.Admin.Do(b.tb.Context(), words...).Err(); err != nil {
			b.tb.Fatalf("%v: %v", words, err)
		}
	}
}

// refuse has the hurt primary refuse the stores' password, and ends the connections
// that it had accepted with it.
func refuse(b *shardbed) {
	b.tb.Helper()
	tell("ACL", "SETUSER", serviceUser, "resetpass", ">another-password")(b)
	b.hurt.Proxy.KillConns(faultproxy.RST)
}

// bareRows are faults that last until they are healed: nobody takes over.
func bareRows() []ShardRow {
	readOnly := faultproxy.Answer(faultproxy.Error("READONLY You can't write against a read only replica.")).On(faultproxy.Scripts())
	return []ShardRow{
		{
			ID: "shard-hung", Fault: "the primary of a shard stands still", On: Bare,
			Hurt: Expect{"store_timeout"}, Down: 1, Opens: true, Breaks: true, inject: stop, heal: goOn,
		},
		{
			ID: "shard-refused", Fault: "the primary of a shard refuses connections", On: Bare,
			Hurt: Expect{"store_unreachable"}, Down: 1, Opens: true, Breaks: true, inject: set(faultproxy.Refuse()), heal: healed,
		},
		{
			ID: "shard-blackout", Fault: "nothing that is sent to or by the primary of a shard arrives", On: Bare,
			Hurt: Expect{"store_timeout"}, Down: 1, Opens: true, Breaks: true,
			inject: set(faultproxy.BlackHole(faultproxy.Both, faultproxy.AllConns)), heal: healed,
		},
		{
			ID: "shard-password", Fault: "the primary of a shard refuses the password (WRONGPASS)", On: Bare,
			// The connections that it ends are seen as such.
			Hurt: Expect{"store_auth", "store_unreachable"}, Down: 1, Opens: true, Breaks: true,
			inject: refuse, heal: tell("ACL", "SETUSER", serviceUser, "resetpass", ">"+servicePass),
		},
		{
			ID: "shard-full", Fault: "the primary of a shard is out of memory (OOM)", On: Bare,
			Hurt: Expect{"store_full"}, Opens: true,
			inject: tell("CONFIG", "SET", "maxmemory", "1"), heal: tell("CONFIG", "SET", "maxmemory", "0"),
		},
		{
			ID: "shard-read-only", Fault: "the primary of a shard takes no writes (READONLY)", On: Bare,
			Hurt: Expect{"store_readonly"}, Opens: true, inject: set(readOnly), heal: healed,
		},
		{
			ID: "shard-reply-lost", Fault: "the primary of a shard runs each script and resets the connection before the reply", On: Bare,
			Hurt: Expect{"store_unreachable"}, Breaks: true,
			inject: set(faultproxy.CutAfter(faultproxy.RST).On(faultproxy.Scripts())), heal: healed,
		},
		{
			ID: "shard-uncovered", Fault: "the primary of a shard stands still, and therefore all shards refuse (CLUSTERDOWN), although they answer a PING", On: Bare,
			Hurt: gone, Others: Expect{"store_not_ready"}, Down: 3, Opens: true, Noticed: true, Breaks: true,
			inject: func(b *shardbed) { b.cover("yes"); stop(b) }, heal: func(b *shardbed) { goOn(b); b.cover("no") },
		},
		{ID: "health", Fault: "one primary stands still, then all do", On: Bare, try: health},
		seed("seed-hung", "the first node that is asked says nothing", faultproxy.BlackHole(faultproxy.Both, faultproxy.AllConns)),
		seed("seed-refused", "the first node that is asked refuses connections", faultproxy.Refuse()),
		seed("seed-password", "the first node that is asked refuses the password", faultproxy.Answer(faultproxy.Error(wrongPass)).On(faultproxy.All)),
		noMap("no-seed-refused", "all nodes refuse connections at the start", faultproxy.Refuse(), "store_unreachable"),
		noMap("no-seed-password", "all nodes refuse the password at the start", faultproxy.Answer(faultproxy.Error(wrongPass)).On(faultproxy.All), "store_auth"),
		{ // the last one on its deployment: its nodes cannot restart afterwards
			ID: "all-moved", Fault: "all nodes have other addresses at once, and the one in the settings leads to them", On: Bare,
			Hurt: gone, Others: gone, Breaks: true, Fronted: true, Noticed: true, inject: moveAll,
		},
	}
}

// cover says whether the nodes refuse while any slot has no primary.
func (b *shardbed) cover(yes string) {
	b.tb.Helper()
	for _, n := range b.nodes() {
		if err := n.Admin.ConfigSet(b.tb.Context(), "cluster-require-full-coverage", yes).Err(); err != nil {
			b.tb.Fatal(err)
		}
	}
}

func moveAll(b *shardbed) {
	b.tb.Helper()
	b.cluster.Move(b.tb)
	b.front.SetUpstream(b.nodes()[0].Server.Addr())
	b.front.KillConns(faultproxy.RST)
}

// afterCut is how long a shard may fail whose primary was cut off: until the nodes
// have noticed and agreed on another.
const afterCut = nodeTimeout + 3*time.Second

// afterPromotion is how soon a shard must answer well once another node is its primary.
const afterPromotion = time.Second

func cut(b *shardbed)    { b.cluster.Cut(b.tb, b.hurt) }
func rejoin(b *shardbed) { b.cluster.Rejoin(b.tb, b.hurt) }

// pairedRows are faults that end when a replica has taken over, while the nodes go
// on to serve what they have.
func pairedRows() []ShardRow {
	return []ShardRow{
		{
			ID: "primary-killed", Fault: "the primary of a shard dies, and its replica takes over", On: Paired,
			Hurt: gone, Promotes: true, Back: afterPromotion, Breaks: true, inject: kill, repair: restart,
		},
		{
			ID: "primary-killed-waited", Fault: "the same, and answers wait for a replica", On: Paired, Wait: 1,
			Hurt: gone, Promotes: true, Back: afterPromotion, Breaks: true, inject: kill, repair: restart,
		},
		{
			ID: "primary-hung", Fault: "the primary of a shard stands still, and its replica takes over", On: Paired,
			Hurt: gone, Promotes: true, Back: afterPromotion, Breaks: true, inject: stop, repair: goOn,
		},
		{
			ID: "replica-hung", Fault: "the replica of a shard stands still, which nobody notices", On: Paired, Unnoticed: true,
			inject: func(b *shardbed) { b.replica.Stop(b.tb) }, heal: func(b *shardbed) { b.replica.Continue(b.tb) },
		},
		{
			ID: "primary-cut-off", Fault: "the primary of a shard is cut off from the other nodes while clients reach all of them", On: Paired,
			Hurt: gone, Noticed: true, Back: afterCut, Breaks: true, Loses: true, Control: true, inject: cut, repair: rejoin,
		},
		{
			ID: "primary-cut-off-waited", Fault: "the same, and answers wait for a replica", On: Paired, Wait: 1,
			Hurt: gone, Noticed: true, Back: afterCut, Breaks: true, inject: cut, repair: rejoin,
		},
	}
}

// coveredRows are changes in a cluster with the default settings.
func coveredRows() []ShardRow {
	refused := Expect{"store_not_ready"}
	return []ShardRow{
		{ // the first one: nodes that have just voted for one of a shard do not vote again
			ID: "planned-failover", Fault: "a replica takes over as planned (CLUSTER FAILOVER)", On: Covered,
			inject: func(b *shardbed) { b.cluster.Failover(b.tb, b.replica) },
		},
		{
			ID: "primary-killed-covered", Fault: "the primary of a shard dies, its replica takes over, and until then all shards refuse (CLUSTERDOWN)", On: Covered,
			Hurt: gone, Others: refused, Promotes: true, Back: afterPromotion, Breaks: true, inject: kill, repair: restart,
		},
		{
			ID: "primary-hung-covered", Fault: "the primary of a shard stands still, its replica takes over, and until then all shards refuse (CLUSTERDOWN)", On: Covered,
			Hurt: gone, Others: refused, Promotes: true, Back: afterPromotion, Breaks: true, inject: stop, repair: goOn,
		},
		{
			ID: "slot-moved", Fault: "slots move to another shard, a key at a time", On: Covered,
			inject: moveSlots,
		},
		{ID: "slot-half-moved", Fault: "a slot stays half moved, at every key of it", On: Covered, try: halfMoved},
	}
}

// watchers does something with sentinels, and resets the connections to the primary,
// so that new ones have to be made.
func watchers(n int, do func(*redistest.Node, testing.TB)) func(b *shardbed) {
	return func(b *shardbed) {
		for _, s := range b.sentinels.Sentinels[:n] {
			do(s, b.tb)
		}
		b.hurt.Proxy.KillConns(faultproxy.RST)
	}
}

func killNode(n *redistest.Node, tb testing.TB)    { n.Kill(tb) }
func restartNode(n *redistest.Node, tb testing.TB) { n.Restart(tb) }
func stopNode(n *redistest.Node, tb testing.TB)    { n.Stop(tb) }
func goOnNode(n *redistest.Node, tb testing.TB)    { n.Continue(tb) }

// watchedRows are faults of a primary with sentinels, and of the sentinels.
func watchedRows() []ShardRow {
	return []ShardRow{
		{
			ID: "sentinel-primary-killed", Fault: "the primary dies, and the sentinels promote a replica", On: Watched,
			Hurt: gone, Promotes: true, Back: afterPromotion, Breaks: true, inject: kill, repair: restart,
		},
		{
			ID: "sentinel-primary-hung", Fault: "the primary stands still, and the sentinels promote a replica", On: Watched,
			Hurt: gone, Promotes: true, Back: afterPromotion, Breaks: true, inject: stop, repair: goOn,
		},
		{
			// Sentinel promotes before it demotes: what is written in between is lost.
			ID: "sentinel-planned", Fault: "the sentinels promote a replica as planned (SENTINEL FAILOVER)", On: Watched,
			Breaks: true, Loses: true, inject: func(b *shardbed) { b.sentinels.Failover(b.tb) },
		},
		{
			ID: "sentinels-dead", Fault: "all sentinels are dead, the primary is well, and its connections are reset", On: Watched,
			Breaks: true, inject: watchers(3, killNode), repair: watchers(3, restartNode),
		},
		{
			ID: "sentinels-hung", Fault: "two of three sentinels stand still, the primary is well, and its connections are reset", On: Watched,
			Breaks: true, inject: watchers(2, stopNode), repair: watchers(2, goOnNode),
		},
		{ID: "sentinel-name", Fault: "the sentinels do not know the name of the primary", On: Watched, try: wrongName},
	}
}

// wrongName has an instance ask for a primary that nobody knows.
func wrongName(b *shardbed, t Target) []string {
	w := b.settings(b.prefix, Patience, 0)
	w.SentinelMaster = "nobody"
	return b.first(t.Store(b.tb, w), b.atOnce(), func(err error) bool { return t.Class(err) == "store_misconfigured" })
}

// moveSlots moves the slots of the talkers of the hurt shard to the next one.
func moveSlots(b *shardbed) {
	b.tb.Helper()
	ctx := b.tb.Context()
	to := b.primaries(b.tb)[b.shard+1]
	for _, t := range b.load.talkers {
		if t.shard != b.shard {
			continue
		}
		if err := moveSlowly(b, b.cluster.Slot(b.tb, t.key), b.hurt, to); err != nil {
			b.tb.Fatalf("move a slot: %v", err)
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// keyTime is between two keys of a slot that moves.
const keyTime = 100 * time.Millisecond

// moveSlowly moves a slot in less time than a call may take, but key by key.
func moveSlowly(b *shardbed, slot int, from, to *redistest.Node) error {
	ctx := b.tb.Context()
	m, err := b.cluster.Migrate(ctx, slot, from, to)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	for moved := true; moved; {
		if moved, err = m.Step(ctx); err != nil {
			return fmt.Errorf("move a key: %w", err)
		}
		pass(ctx, keyTime)
	}
	return m.Finish(ctx)
}
