package redistest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/faultproxy"
)

const clusterSecret = "a-secret"

// One cluster for all of it: each part but the last leaves it well.
func TestCluster(t *testing.T) {
	slow(t)
	t.Parallel()
	certificates := faultproxy.NewCertificates(t)
	began := time.Now()
	c := StartCluster(t, Replicas(1), NodeTimeout(2*time.Second), PartialCoverage(), Movable(), TLS(certificates.Good), Flags("--requirepass", clusterSecret))
	t.Logf("started in %v", time.Since(began))
	// It knows nothing of this package: what it finds, the nodes told it.
	opt, err := goredis.ParseClusterURL(c.URL())
	if err != nil {
		t.Fatal(err)
	}
	opt.Password, opt.TLSConfig.RootCAs = clusterSecret, certificates.Pool
	client := goredis.NewClusterClient(opt)
	t.Cleanup(func() { _ = client.Close() })

	t.Run("clients come by the proxies alone", func(t *testing.T) { throughProxies(t, c, client) })
	t.Run("it fails over and moves slots", func(t *testing.T) { failOverAndMove(t, c, client) })
	t.Run("a node is killed and comes back", func(t *testing.T) { killAndRestart(t, c) })
	t.Run("all addresses change", func(t *testing.T) { move(t, c) })
	t.Run("a node is cut off", func(t *testing.T) { cutOff(t, c) })
}

func throughProxies(t *testing.T, c *Cluster, client *goredis.ClusterClient) {
	for i := range 30 {
		key := fmt.Sprint("key-", i)
		if err := client.Set(t.Context(), key, "yes", 0).Err(); err != nil {
			t.Errorf("SET %s: %v", key, err)
		}
	}
	err := client.ForEachShard(t.Context(), func(_ context.Context, node *goredis.Client) error {
		if addr := node.Options().Addr; !slices.Contains(c.Addrs(), addr) {
			t.Errorf("the client was told of %s, which is no proxy", addr)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for i, n := range c.Nodes[:primaries] {
		if n.Proxy.Executions(faultproxy.Names("SET")) == 0 {
			t.Errorf("nothing came by the proxy of primary %d", i)
		}
	}
}

func failOverAndMove(t *testing.T, c *Cluster, client *goredis.ClusterClient) {
	ctx := t.Context()
	const key = "some"
	slot := c.Slot(t, key)
	if err := client.Set(ctx, key, "yes", 0).Err(); err != nil {
		t.Fatal(err)
	}
	holds := func(n *Node) {
		t.Helper()
		if got := n.Admin.Get(ctx, key).Val(); got != "yes" {
			t.Errorf("%s has %q", n.Addr(), got)
		}
	}

	replica := c.Replica(t, slot)
	c.Failover(t, replica)
	if now := c.Primary(t, slot); now != replica {
		t.Errorf("after the failover %s is the primary", now.Addr())
	}
	holds(replica)
	// Sooner than anybody votes about the same primary again.
	for range 2 {
		c.Failover(t, c.Replica(t, slot))
	}
	replica = c.Primary(t, slot)

	target := c.Primary(t, (slot+slots/2)%slots)
	m, err := c.Migrate(ctx, slot, replica, target)
	if err != nil {
		t.Fatal(err)
	}
	holds(replica)
	for moved := true; moved; {
		if moved, err = m.Step(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if got := replica.Admin.Get(ctx, key).Err(); !goredis.HasErrorPrefix(got, "ASK") {
		t.Errorf("half way, the source answers %v", got)
	}
	if err := m.Finish(ctx); err != nil {
		t.Fatal(err)
	}
	holds(target)
}

func killAndRestart(t *testing.T, c *Cluster) {
	const slot = 1
	primary, replica := c.Primary(t, slot), c.Replica(t, slot)
	primary.Kill(t)
	replica.AwaitPromotion(t)
	primary.Restart(t)
	c.AwaitSettled(t)
	if now := c.Replica(t, slot); now != primary {
		t.Errorf("%s is the replica now", now.Addr())
	}
}

func move(t *testing.T, c *Cluster) {
	before := c.Addrs()
	c.Move(t)
	for i, addr := range c.Addrs() {
		if addr == before[i] {
			t.Errorf("node %d is still at %s", i, addr)
		}
	}
	conn, err := dial(t.Context(), before[0])
	if err == nil {
		_ = conn.Close()
		t.Error("somebody listens where the first node was")
	}
}

func cutOff(t *testing.T, c *Cluster) {
	const slot = 1
	primary, replica := c.Primary(t, slot), c.Replica(t, slot)
	c.Cut(t, primary)
	replica.AwaitPromotion(t)
	if err := primary.wants(t.Context(), "replication", "role", "master"); err != nil {
		t.Errorf("the node that was cut off has heard of it: %v", err)
	}
	// It takes the nodes ten seconds to find each other again, for which nobody
	// waits here.
	c.Rejoin(t, primary)
}
