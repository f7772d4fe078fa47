package matrix

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"parley/contracttest/faultproxy"
)

// ShardChaos has things happen to a cluster with replicas for so long, one after the
// other, as a seed says: primaries that are killed, nodes that stand still, planned
// failovers, slots that move, connections that are reset. Answers wait for a replica,
// so that nothing acknowledged may be lost, and nothing may be there twice.
func ShardChaos(tb testing.TB, t Target, d *Deployed, seed uint64, lasts time.Duration) ShardEntry {
	tb.Helper()
	r := ShardRow{
		ID: "chaos", Fault: fmt.Sprintf("anything, by seed %d", seed), On: d.kind,
		Wait: 1, Noticed: true,
	}
	b := newShardbed(tb, t, d, r)
	b.load.stale, b.load.async = true, true
	c := &chaos{shardbed: b, rand: rand.New(rand.NewPCG(seed, 1))}
	ctx, stop := context.WithCancel(tb.Context())
	defer stop()
	var running sync.WaitGroup
	running.Go(func() { b.load.run(ctx) })
	began := time.Now()
	for time.Since(began) < lasts {
		pass(ctx, c.between(200, 800))
		c.something(ctx)
	}
	d.await(tb)
	pass(ctx, b.back()) // so that the last turns can be completed
	stop()
	running.Wait()
	e := ShardEntry{ID: r.ID, Fault: r.Fault, On: r.On, Calls: len(b.load.calls), Machine: b.baseline.Max(), Hurt: map[string]int{}, Others: map[string]int{}}
	for _, call := range b.load.calls {
		e.Others[cmp.Or(call.class, "ok")]++
		if call.failed() && !gone.allows(call.class) {
			e.breaks("%s: %s after %v", call.op, call.class, call.took)
		}
	}
	e.verify(b, began)
	e.Broken = abridged(append(e.Broken, b.load.wrong...))
	return e
}

// chaos decides what happens next.
type chaos struct {
	*shardbed
	rand *rand.Rand
}

// between is some time from low to high milliseconds.
func (c *chaos) between(low, high int) time.Duration {
	return time.Duration(low+c.rand.IntN(high-low)) * time.Millisecond
}

// something happens, and is over when it returns.
func (c *chaos) something(ctx context.Context) {
	c.tb.Helper()
	c.shard = c.rand.IntN(c.load.shards)
	slot := c.cluster.Firsts()[c.shard]
	c.hurt, c.replica = c.cluster.Primary(c.tb, slot), c.cluster.Replica(c.tb, slot)
	switch what := c.rand.IntN(6); what {
	case 0:
		kill(c.shardbed)
		c.promoted()
		restart(c.shardbed)
		c.await(c.tb)
	case 1: // long enough for a failover
		stop(c.shardbed)
		c.promoted()
		goOn(c.shardbed)
		c.await(c.tb)
	case 2:
		n := c.nodes()[c.rand.IntN(len(c.nodes()))]
		n.Stop(c.tb)
		pass(ctx, c.between(100, int(nodeTimeout.Milliseconds())/3))
		n.Continue(c.tb)
	case 3:
		c.cluster.Failover(c.tb, c.replica)
	case 4:
		c.reshard(ctx)
	case 5:
		for _, n := range c.nodes() {
			n.Proxy.KillConns([]faultproxy.How{faultproxy.RST, faultproxy.FIN}[c.rand.IntN(2)])
		}
	}
}

// reshard moves the slot of one talker to another shard, and has its source stand still
// for a moment on the way.
func (c *chaos) reshard(ctx context.Context) {
	t := c.load.talkers[c.rand.IntN(len(c.load.talkers))]
	slot := c.cluster.Slot(c.tb, t.key)
	from := c.cluster.Primary(c.tb, slot)
	to := from
	for to == from {
		to = c.primaries(c.tb)[c.rand.IntN(c.load.shards)]
	}
	m, err := c.cluster.Migrate(ctx, slot, from, to)
	for range c.rand.IntN(3) {
		if err == nil {
			_, err = m.Step(ctx)
		}
	}
	from.Stop(c.tb)
	pass(ctx, c.between(50, 300))
	from.Continue(c.tb)
	if err == nil {
		err = m.Finish(ctx)
	}
	if err != nil {
		c.tb.Errorf("move slot %d: %v", slot, err)
	}
}
