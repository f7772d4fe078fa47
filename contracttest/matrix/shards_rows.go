package matrix

import (
	"fmt"
	"slices"
	"time"

	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
)

// ShardRows are all faults of a Redis of several nodes.
func ShardRows() []ShardRow { return slices.Concat(bareRows(), pairedRows(), coveredRows()) }

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
			Hurt: Expect{"store_timeout"}, Up: 2, Opens: true, Breaks: true, inject: stop, heal: goOn,
		},
		{
			ID: "shard-refused", Fault: "the primary of a shard refuses connections", On: Bare,
			Hurt: Expect{"store_unreachable"}, Up: 2, Opens: true, Breaks: true, inject: set(faultproxy.Refuse()), heal: healed,
		},
		{
			ID: "shard-blackout", Fault: "nothing that is sent to or by the primary of a shard arrives", On: Bare,
			Hurt: Expect{"store_timeout"}, Up: 2, Opens: true, Breaks: true,
			inject: set(faultproxy.BlackHole(faultproxy.Both, faultproxy.AllConns)), heal: healed,
		},
		{
			ID: "shard-password", Fault: "the primary of a shard refuses the password (WRONGPASS)", On: Bare,
			// The connections that it ends are seen as such.
			Hurt: Expect{"store_auth", "store_unreachable"}, Up: 2, Opens: true, Breaks: true,
			inject: refuse, heal: tell("ACL", "SETUSER", serviceUser, "resetpass", ">"+servicePass),
		},
		{
			ID: "shard-full", Fault: "the primary of a shard is out of memory (OOM)", On: Bare,
			Hurt: Expect{"store_full"}, Up: 3, Opens: true,
			inject: tell("CONFIG", "SET", "maxmemory", "1"), heal: tell("CONFIG", "SET", "maxmemory", "0"),
		},
		{
			ID: "shard-read-only", Fault: "the primary of a shard takes no writes (READONLY)", On: Bare,
			Hurt: Expect{"store_readonly"}, Up: 3, Opens: true, inject: set(readOnly), heal: healed,
		},
		{
			ID: "shard-reply-lost", Fault: "the primary of a shard runs each script and resets the connection before the reply", On: Bare,
			Hurt: Expect{"store_unreachable"}, Up: 3, Breaks: true,
			inject: set(faultproxy.CutAfter(faultproxy.RST).On(faultproxy.Scripts())), heal: healed,
		},
	}
}

// afterCut is how long a shard may fail whose primary was cut off: until the nodes
// have noticed and agreed on another.
const afterCut = nodeTimeout + 3*time.Second

func cut(b *shardbed)    { b.cluster.Cut(b.tb, b.hurt) }
func rejoin(b *shardbed) { b.cluster.Rejoin(b.tb, b.hurt) }

// pairedRows are faults that end when a replica has taken over, while the nodes go
// on to serve what they have.
func pairedRows() []ShardRow {
	return []ShardRow{
		{
			ID: "primary-killed", Fault: "the primary of a shard dies, and its replica takes over", On: Paired,
			Hurt: gone, Promotes: true, Breaks: true, inject: kill, repair: restart,
		},
		{
			ID: "primary-killed-waited", Fault: "the same, and answers wait for a replica", On: Paired, Wait: 1,
			Hurt: gone, Promotes: true, Breaks: true, inject: kill, repair: restart,
		},
		{
			ID: "primary-hung", Fault: "the primary of a shard stands still, and its replica takes over", On: Paired,
			Hurt: gone, Promotes: true, Breaks: true, inject: stop, repair: goOn,
		},
		{
			ID: "primary-cut-off", Fault: "the primary of a shard is cut off from the other nodes while clients reach all of them", On: Paired,
			Hurt: gone, Back: afterCut, Breaks: true, Loses: true, inject: cut, repair: rejoin,
		},
		{
			ID: "primary-cut-off-waited", Fault: "the same, and answers wait for a replica", On: Paired, Wait: 1,
			Hurt: gone, Back: afterCut, Breaks: true, inject: cut, repair: rejoin,
		},
	}
}

// coveredRows are changes in a cluster with the default settings.
func coveredRows() []ShardRow {
	refused := Expect{"store_not_ready"}
	return []ShardRow{
		{
			ID: "primary-killed-covered", Fault: "the primary of a shard dies, its replica takes over, and until then all shards refuse (CLUSTERDOWN)", On: Covered,
			Hurt: gone, Others: refused, Promotes: true, Breaks: true, inject: kill, repair: restart,
		},
		{
			ID: "primary-hung-covered", Fault: "the primary of a shard stands still, its replica takes over, and until then all shards refuse (CLUSTERDOWN)", On: Covered,
			Hurt: gone, Others: refused, Promotes: true, Breaks: true, inject: stop, repair: goOn,
		},
		{
			ID: "planned-failover", Fault: "a replica takes over as planned (CLUSTER FAILOVER)", On: Covered,
			inject: func(b *shardbed) { b.cluster.Failover(b.tb, b.replica) },
		},
		{
			ID: "slot-moved", Fault: "slots move to another shard, a key at a time", On: Covered,
			Patient: true, inject: moveSlots,
		},
	}
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
		pass(ctx, b.timeout/50)
	}
	return m.Finish(ctx)
}
