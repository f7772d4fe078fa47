package matrix

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
	"parley/store"
)

// The times of a row.
const (
	calmTime  = 1500 * time.Millisecond // before the fault
	standTime = 2 * time.Second         // that a fault stands from which nothing has to come
	openTime  = time.Second             // that the hurt shard is watched once it answers at once
	afterTime = time.Second             // that all must be well behind Back
	// A breaker opens after some failures in a row, of callers who wait one behind
	// the other.
	callsToOpen = 4
)

// shardbed is where a row takes place.
type shardbed struct {
	*Deployed
	limits
	tb      testing.TB
	row     ShardRow
	prefix  string
	load    *load
	open    func() store.Store // opens one of no instance, whose calls have time
	stores  []store.Store      // of the instances
	front   *faultproxy.Proxy  // of a Fronted row
	shard   int                // that is hurt
	hurt    *redistest.Node    // its primary when the row began
	replica *redistest.Node    // that follows it; nil with sentinels and where there is none
}

// times are when it happened.
type times struct {
	injected, open, ended time.Time
}

// RunShards tries a row. It is the caller who fails the test.
func RunShards(tb testing.TB, t Target, d *Deployed, r ShardRow) ShardEntry {
	tb.Helper()
	b := newShardbed(tb, t, d, r)
	e := ShardEntry{ID: r.ID, Fault: r.Fault, On: r.On}
	if r.try != nil {
		e.Broken = abridged(append(r.try(b, t), b.load.wrong...))
		d.await(tb)
		return e
	}
	when := times{}
	ctx, stop := context.WithCancel(tb.Context())
	defer stop()
	for _, n := range d.nodes() {
		n.Proxy.Reset()
	}
	var running sync.WaitGroup
	running.Go(func() { b.load.run(ctx) })
	pass(ctx, calmTime)

	when.injected = time.Now()
	b.row.inject(b)
	when.open = time.Now().Add(callsToOpen*min(b.timeout, b.least()) + b.late())
	switch {
	case r.Promotes:
		when.ended = b.promoted()
	case r.Opens:
		pass(ctx, time.Until(when.open)+openTime)
	case r.heal != nil:
		pass(ctx, standTime)
	}
	if r.heal != nil {
		e.Broken = append(e.Broken, b.serving(t)...)
		r.heal(b)
	}
	if when.ended.IsZero() {
		when.ended = time.Now()
	}
	pass(ctx, time.Until(when.ended.Add(b.back()+afterTime)))
	stop()
	running.Wait()
	e.judge(b, when)
	e.count(b)
	// First, because a new store has nobody to ask while all sentinels are dead.
	if r.repair != nil {
		r.repair(b)
	}
	d.await(tb)
	e.verify(b, when.injected)
	return e
}

// pass lets time go by while the load runs.
func pass(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func newShardbed(tb testing.TB, t Target, d *Deployed, r ShardRow) *shardbed {
	tb.Helper()
	d.await(tb)
	b := &shardbed{Deployed: d, limits: measure(tb, t.Bounds), tb: tb, row: r, prefix: uuid.NewString() + ":"}
	d.setNodeTimeout(tb, r)
	primaries := d.primaries(tb)
	b.hurt = primaries[b.shard]
	if d.kind == Paired || d.kind == Covered {
		b.replica = d.cluster.Replica(tb, d.cluster.Firsts()[b.shard])
	}
	// What is to be there before and afterwards is not in a hurry.
	w := d.settings(b.prefix, Patience, r.Wait)
	if r.Fronted {
		b.front = faultproxy.Start(tb, d.nodes()[0].Server.Addr())
		w = b.at(w, b.front, nil)
	}
	b.open = func() store.Store { return t.Store(tb, w) }
	b.load = newLoad(tb, t.Class, b.open(), len(primaries), func(id string) (int, string) { return b.find(primaries, id) })
	// The machine has been watched for a while by now.
	if b.timeout = b.least(); r.Wait == 0 && !r.Hurt.allows("store_timeout") {
		b.timeout = Patience
	}
	hurried := w
	hurried.Timeout = b.timeout
	for range instances {
		b.stores = append(b.stores, t.Store(tb, hurried))
	}
	b.load.through(b.stores)
	b.load.stale, b.load.async = r.Loses, r.Promotes || r.Loses || r.Wait > 0
	return b
}

// setNodeTimeout has the nodes of a cluster notice what is wrong where that is part of
// the row, and nothing where it is not.
func (d *Deployed) setNodeTimeout(tb testing.TB, r ShardRow) {
	tb.Helper()
	if d.cluster == nil {
		return
	}
	timeout := calmTimeout
	if r.Noticed || r.Promotes {
		timeout = nodeTimeout
	}
	for _, n := range d.nodes() {
		if err := n.Admin.ConfigSet(tb.Context(), "cluster-node-timeout", fmt.Sprint(timeout.Milliseconds())).Err(); err != nil {
			tb.Fatal(err)
		}
	}
}

// least is the least timeout of calls that are meant to time out.
func (b *shardbed) least() time.Duration { return max(Timeout, stepsOfTimeout*b.baseline.Max()) }

// stalled says that a call can have been too late for no fault but the machine's,
// which was much later than when the timeout was chosen.
func (b *shardbed) stalled(class string, timeout time.Duration) bool {
	return class == "store_timeout" && b.late() > timeout
}

// find is the shard that keeps a conversation, and the key under which it does.
func (b *shardbed) find(primaries []*redistest.Node, id string) (shard int, key string) {
	for i, n := range primaries {
		keys, err := n.Admin.Keys(b.tb.Context(), b.prefix+"*:c:"+id).Result()
		if err != nil {
			b.tb.Fatal(err)
		}
		if len(keys) > 0 {
			return i, keys[0]
		}
	}
	b.tb.Fatalf("no shard has the conversation %s", id)
	return 0, ""
}

// promoted waits until another node is the primary of the shard that is hurt.
func (b *shardbed) promoted() time.Time {
	b.tb.Helper()
	if b.cluster == nil {
		b.sentinels.AwaitOther(b.tb, b.hurt)
		return time.Now()
	}
	b.replica.AwaitPromotion(b.tb)
	return time.Now()
}

// serving compares what the stores say of their shards with what is so.
func (b *shardbed) serving(t Target) (broken []string) {
	for i, s := range b.stores {
		sharded, ok := s.(store.Sharded)
		if !ok {
			return []string{"the store does not say which of its shards serve"}
		}
		ctx, cancel := context.WithTimeout(b.tb.Context(), b.least())
		got := sharded.Shards(ctx)
		cancel()
		if up := b.load.shards - b.row.Down; got.Up != up || got.Total != b.load.shards {
			broken = append(broken, fmt.Sprintf("instance %d says that %d of %d shards serve, and %d do", i, got.Up, got.Total, up))
		}
		if class := t.Class(got.Worst); got.Up < got.Total && !b.row.Hurt.allows(class) && !b.row.Others.allows(class) {
			broken = append(broken, fmt.Sprintf("instance %d: the worst class of its shards is %q", i, class))
		}
	}
	return broken
}

// back is how long the hurt shard may fail once the fault has ended.
func (b *shardbed) back() time.Duration {
	if b.row.Back != 0 {
		return b.row.Back + b.late()
	}
	return Recovery + b.late()
}

// verify adds what is lost or doubled.
func (e *ShardEntry) verify(b *shardbed, injected time.Time) {
	// Redis tells the replica in the same breath as the client, but it may be stopped
	// between the two for as long as the machine is late.
	moment := injected.Add(-b.late())
	var err error
	// A new store: one that was not used meanwhile would wait for what is gone.
	e.Acked, e.Doubled, err = b.load.verify(b.tb.Context(), b.open(), func(a ack) {
		if e.Lost++; b.row.Promotes && b.row.Wait == 0 && a.at.After(moment) {
			e.Late++
		}
	})
	if err != nil {
		e.breaks("afterwards: %v", err)
	}
	if e.Lost > e.Late && !b.row.Loses {
		e.breaks("%d of %d acknowledged turns are lost", e.Lost-e.Late, e.Acked)
	}
	if e.Lost == 0 && b.row.Control {
		e.breaks("none of %d acknowledged turns is lost, so the fault was none", e.Acked)
	}
	if e.Doubled > 0 {
		e.breaks("%d texts are there more than once", e.Doubled)
	}
	if e.Acked == 0 {
		e.breaks("no turn was acknowledged")
	}
}

// count adds how often the script of a call ran.
func (e *ShardEntry) count(b *shardbed) {
	limit := 1
	if b.row.Breaks {
		limit = maxExecutions
	}
	for text, n := range b.executions() {
		calls := max(1, b.load.sent[text])
		e.Ran = max(e.Ran, (n+calls-1)/calls)
		if n > limit*calls {
			e.breaks("a script with %s ran %d times for %d calls", text, n, calls)
		}
	}
}

// executions is how often scripts with a text of the load ran, on all nodes
// together.
func (b *shardbed) executions() map[string]int {
	ran := map[string]int{}
	for _, n := range b.nodes() {
		n.Proxy.Executions(func(c faultproxy.Command) bool {
			if c.Script != "" {
				if text := said(c.Args); text != "" {
					ran[text]++
				}
			}
			return false
		})
	}
	return ran
}

// said is the text of the load that a command carries.
func said(args []string) string {
	for _, a := range args {
		for _, mark := range []string{`"q-`, `"a-`} {
			if _, rest, ok := strings.Cut(a, mark); ok {
				text, _, _ := strings.Cut(rest, `"`)
				return mark[1:] + text
			}
		}
	}
	return ""
}
