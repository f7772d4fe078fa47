package redistest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// shape is what a node knows of all nodes that it can reach: the primary's id for
// each replica, and nothing for each primary, by id.
func (n *Node) shape(ctx context.Context) (map[string]string, error) {
	text, err := n.Admin.ClusterNodes(ctx).Result()
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 8 {
			return nil, fmt.Errorf("CLUSTER NODES says %q", line)
		}
		flags := strings.Split(words[2], ",")
		for _, bad := range []string{"fail", "fail?", "handshake", "noaddr"} {
			if slices.Contains(flags, bad) {
				return nil, fmt.Errorf("%s takes node %s for %s", n.Addr(), words[0], words[2])
			}
		}
		primary := words[3]
		if slices.Contains(flags, "master") {
			primary = ""
		}
		found[words[0]] = primary
	}
	return found, nil
}

// tells returns an error unless the node tells clients of all nodes, by the addresses
// that they have.
func (c *Cluster) tells(ctx context.Context, n *Node) error {
	ranges, err := n.Admin.ClusterSlots(ctx).Result() //nolint:staticcheck // CLUSTER SHARDS is not in Redis 6, whose clusters are served as well
	if err != nil {
		return err
	}
	var told []string
	for _, r := range ranges {
		for _, node := range r.Nodes {
			told = append(told, node.Addr)
		}
	}
	slices.Sort(told)
	if want := slices.Sorted(slices.Values(c.Addrs())); !slices.Equal(slices.Compact(told), want) {
		return fmt.Errorf("%s tells clients of %q, there are %q", n.Addr(), slices.Compact(told), want)
	}
	return nil
}

// Firsts are the first slots of the three shards, as they were started.
func (c *Cluster) Firsts() []int {
	all := make([]int, primaries)
	for i := range all {
		all[i] = firstSlot(i)
	}
	return all
}

// Slot is the hash slot of a key.
func (c *Cluster) Slot(tb testing.TB, key string) int {
	tb.Helper()
	slot, err := c.Nodes[0].Admin.ClusterKeySlot(tb.Context(), key).Result()
	if err != nil {
		tb.Fatal(err)
	}
	return int(slot)
}

// Primary is the node that serves a slot, by the word of the first node that
// answers.
func (c *Cluster) Primary(tb testing.TB, slot int) *Node {
	tb.Helper()
	return c.holder(tb, slot, 0)
}

// Replica is a node that follows the primary of a slot, likewise.
func (c *Cluster) Replica(tb testing.TB, slot int) *Node {
	tb.Helper()
	return c.holder(tb, slot, 1)
}

// holder finds the node at a place in the answer of CLUSTER SLOTS: the primary is
// first.
func (c *Cluster) holder(tb testing.TB, slot, place int) *Node {
	tb.Helper()
	var err error
	for _, n := range c.Nodes {
		var ranges []goredis.ClusterSlot
		if ranges, err = n.Admin.ClusterSlots(tb.Context()).Result(); err != nil { //nolint:staticcheck // CLUSTER SHARDS is not in Redis 6, whose clusters are served as well
			continue
		}
		for _, r := range ranges {
			if r.Start <= slot && slot <= r.End && place < len(r.Nodes) {
				return c.node(tb, r.Nodes[place].ID)
			}
		}
		tb.Fatalf("%s: nobody has that place of slot %d", n.Addr(), slot)
	}
	tb.Fatalf("no node answers: %v", err)
	return nil
}

func (c *Cluster) node(tb testing.TB, id string) *Node {
	tb.Helper()
	i := slices.IndexFunc(c.Nodes, func(n *Node) bool { return n.id == id })
	if i < 0 {
		tb.Fatalf("there is no node %q", id)
	}
	return c.Nodes[i]
}

// failoverLasts is after how long a replica has given up a planned failover.
const failoverLasts = 6 * time.Second

// Failover has a replica take over from its primary as planned, losing nothing,
// and waits until every node knows. A replica that is told to take over may not get
// the votes, because nobody votes about the same primary twice within two node
// timeouts, and does not say so. It is told again.
func (c *Cluster) Failover(tb testing.TB, replica *Node) {
	tb.Helper()
	ctx := tb.Context()
	var told time.Time
	err := await(ctx, func(ctx context.Context) error {
		err := replica.promoted(ctx)
		if err != nil && time.Since(told) > failoverLasts {
			told = time.Now()
			err = errors.Join(err, replica.Admin.ClusterFailover(ctx).Err())
		}
		return err
	})
	if err != nil {
		tb.Fatalf("fail over to %s: %v", replica.Addr(), err)
	}
	if err := await(ctx, c.Settled); err != nil {
		tb.Fatalf("after the failover to %s: %v", replica.Addr(), err)
	}
}

// AwaitPromotion waits until a replica has become a primary.
func (n *Node) AwaitPromotion(tb testing.TB) {
	tb.Helper()
	if err := await(tb.Context(), n.promoted); err != nil {
		tb.Fatal(err)
	}
}

func (n *Node) promoted(ctx context.Context) error {
	return n.wants(ctx, "replication", "role", "master")
}

// AwaitSettled waits until Settled says that all is well.
func (c *Cluster) AwaitSettled(tb testing.TB) {
	tb.Helper()
	if err := await(tb.Context(), c.Settled); err != nil {
		tb.Fatal(err)
	}
}

// Migration moves a slot from one primary to another, a key at a time.
type Migration struct {
	slot     int
	from, to *Node
}

// Migrate begins to move a slot. No key is moved yet.
func (c *Cluster) Migrate(ctx context.Context, slot int, from, to *Node) (*Migration, error) {
	m := &Migration{slot: slot, from: from, to: to}
	if err := to.Admin.Do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", from.id).Err(); err != nil {
		return nil, err
	}
	return m, from.Admin.Do(ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", to.id).Err()
}

// Keys are the keys of the slot that are still at its source, at most n.
func (m *Migration) Keys(ctx context.Context, n int) ([]string, error) {
	return m.from.Admin.ClusterGetKeysInSlot(ctx, m.slot, n).Result()
}

// Move moves keys. Those that are not at the source are left alone.
func (m *Migration) Move(ctx context.Context, keys ...string) error {
	if len(keys) == 0 {
		return nil
	}
	words := []any{"MIGRATE", m.to.inside, m.to.number(), "", 0, adminAnswer.Milliseconds()}
	if m.to.password != "" {
		words = append(words, "AUTH", m.to.password)
	}
	words = append(words, "KEYS")
	for _, k := range keys {
		words = append(words, k)
	}
	return m.from.Admin.Do(ctx, words...).Err()
}

// Step moves one key, and reports whether there was one.
func (m *Migration) Step(ctx context.Context) (moved bool, err error) {
	keys, err := m.Keys(ctx, 1)
	if err != nil || len(keys) == 0 {
		return false, err
	}
	return true, m.Move(ctx, keys...)
}

// Finish moves the keys that are left and gives the slot to its target. It may be
// called again after an error.
func (m *Migration) Finish(ctx context.Context) error {
	for moved := true; moved; {
		var err error
		if moved, err = m.Step(ctx); err != nil {
			return err
		}
	}
	// The target first: a source that has let go while the target does not know
	// yet would send clients in a circle.
	for _, n := range []*Node{m.to, m.from} {
		if err := n.Admin.Do(ctx, "CLUSTER", "SETSLOT", m.slot, "NODE", m.to.id).Err(); err != nil {
			return err
		}
	}
	return nil
}
