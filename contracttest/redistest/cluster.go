package redistest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"testing"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/network"

	"parley/contracttest/faultproxy"
)

const (
	primaries = 3
	slots     = 16384
	busPort   = "16379" // the default, port + 10000, can exceed what a port can be
)

// Cluster is a Redis Cluster of three primaries and their replicas, each in a
// container of its own behind a fault proxy of its own. Nodes announce the
// addresses of the proxies to clients, and talk to each other past them.
//
// It needs Redis 7.0 or later. Source:
// https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
type Cluster struct {
	// Nodes are the three nodes that were started as primaries, in the order of
	// their slots, and then the replica of each, if there are replicas. A failover
	// does not change the order.
	Nodes []*Node

	secure bool
	bus    *testcontainers.DockerNetwork
}

// plan is what the options of StartCluster and StartSentinel say.
type plan struct {
	host        string
	replicas    int
	nodeTimeout time.Duration
	partial     bool
	tls         *tls.Config
	flags       []string
	movable     bool
	downAfter   time.Duration // of sentinels
	secret      string        // password of sentinels
}

// Option is a setting of StartCluster or StartSentinel.
type Option func(*plan)

// Replicas sets how many replicas each primary has. A cluster has 0 or 1, and 0
// without this option; with sentinels there are 1 or 2, and 1 without it.
func Replicas(n int) Option { return func(p *plan) { p.replicas = n } }

// NodeTimeout sets how long a cluster's node may be silent before the others take
// it for failed; 1 s without this option.
func NodeTimeout(d time.Duration) Option { return func(p *plan) { p.nodeTimeout = d } }

// PartialCoverage lets a cluster's nodes serve their slots while other slots have
// no primary. Without it all refuse, as is Redis's default.
func PartialCoverage() Option { return func(p *plan) { p.partial = true } }

// TLS has the proxies speak TLS with clients. They speak plain TCP with the nodes,
// and the nodes with each other.
func TLS(c *tls.Config) Option { return func(p *plan) { p.tls = c } }

// Movable has a cluster's nodes ready to move; see Cluster.Move.
func Movable() Option { return func(p *plan) { p.movable = true } }

// Flags are words for the command line of every Redis node, as Start takes them.
// --requirepass sets what the nodes use with each other as well.
func Flags(words ...string) Option {
	return func(p *plan) { p.flags = append(p.flags, words...) }
}

// AnnounceAs sets the name by which a cluster's nodes tell clients of each other.
// It has to lead to 127.0.0.1, which it is without this option.
func AnnounceAs(host string) Option { return func(p *plan) { p.host = host } }

// StartCluster starts a cluster for the calling test and ends it when the test
// ends. When it returns, every node says that the cluster is well, and knows every
// other node and what it is. It skips as Start does.
func StartCluster(tb testing.TB, opts ...Option) *Cluster {
	tb.Helper()
	needRedis(tb)
	s := plan{host: loopback, nodeTimeout: time.Second}
	for _, o := range opts {
		o(&s)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	c := &Cluster{secure: s.tls != nil, bus: newBus(ctx, tb)}
	for range primaries * (1 + s.replicas) {
		c.Nodes = append(c.Nodes, newNode(tb, s.host, password(s.flags), faultproxy.WithTLS(s.tls)))
	}
	if s.movable {
		for _, n := range c.Nodes {
			n.spare = faultproxy.Start(tb, "", faultproxy.WithTLS(s.tls))
		}
	}
	tb.Cleanup(func() { end(tb, containersOf(c.Nodes)...) })
	if err := atOnce(c.Nodes, func(_ int, n *Node) error { return c.run(ctx, tb, n, s) }); err != nil {
		tb.Fatal(err)
	}
	if err := c.join(ctx); err != nil {
		tb.Fatalf("make a cluster: %v", err)
	}
	if err := await(ctx, c.Settled); err != nil {
		tb.Fatalf("make a cluster: %v", err)
	}
	return c
}

// URL is the address of the first node as a Redis URL, without user name or
// password.
func (c *Cluster) URL() string {
	if c.secure {
		return "rediss://" + c.Nodes[0].Addr()
	}
	return c.Nodes[0].URL()
}

// Addrs are the addresses of all nodes, in their order.
func (c *Cluster) Addrs() []string {
	all := make([]string, len(c.Nodes))
	for i, n := range c.Nodes {
		all[i] = n.Addr()
	}
	return all
}

// newBus makes a network for what the nodes say to each other. Clients come by the
// engine's own network, so that a node can be cut off from the others alone.
func newBus(ctx context.Context, tb testing.TB) *testcontainers.DockerNetwork {
	tb.Helper()
	// Internal, so that the way out, and with it the published port, stays with
	// the other one.
	bus, err := network.New(ctx, network.WithInternal(), network.WithLabels(map[string]string{Label: tb.Name()}))
	if err != nil {
		tb.Fatalf("make a network for the nodes: %v", err)
	}
	tb.Cleanup(func() {
		if err := bus.Remove(context.WithoutCancel(tb.Context())); err != nil {
			tb.Errorf("remove the network of the nodes: %v", err)
		}
	})
	return bus
}

// run starts the container of a node.
func (c *Cluster) run(ctx context.Context, tb testing.TB, n *Node, s plan) error {
	coverage := "yes"
	if s.partial {
		coverage = "no"
	}
	words := append(commandLine(authenticated(s.flags)),
		"--port", n.number(),
		"--cluster-enabled", "yes",
		"--cluster-port", busPort,
		"--cluster-announce-hostname", s.host,
		"--cluster-preferred-endpoint-type", "hostname",
		"--cluster-node-timeout", strconv.FormatInt(s.nodeTimeout.Milliseconds(), 10),
		"--cluster-require-full-coverage", coverage,
		// A replica that takes part at once, however long its primary was away.
		"--cluster-replica-validity-factor", "0",
		"--repl-diskless-sync-delay", "0",
		// CLUSTER SLOTS leaves out replicas that have received nothing yet, be it a ping.
		"--repl-ping-replica-period", "1",
	)
	ports := []string{n.port}
	if n.spare != nil {
		ports = append(ports, portOf(n.spare))
	}
	container, err := run(
		ctx, tb, readyLine, words,
		testcontainers.WithExposedPorts(ports...),
		network.WithBridgeNetwork(),
		network.WithNetwork(nil, c.bus),
	)
	n.container, n.publisher = container, container
	if err != nil {
		return err
	}
	if err := n.locate(ctx); err != nil {
		return err
	}
	return c.enter(ctx, n)
}

// enter finds the node's address on the bus, which changes when it leaves and
// comes back.
func (c *Cluster) enter(ctx context.Context, n *Node) error {
	state, err := n.container.Inspect(ctx)
	if err != nil {
		return fmt.Errorf("look at the Redis container: %w", err)
	}
	endpoint, ok := state.NetworkSettings.Networks[c.bus.Name]
	if !ok {
		return errors.New("the Redis container is not on the network of the nodes")
	}
	n.inside = endpoint.IPAddress.String()
	return nil
}

// authenticated adds what nodes need to talk to each other with a password.
func authenticated(flags []string) []string {
	if p := password(flags); p != "" {
		return append([]string{"--masterauth", p}, flags...)
	}
	return flags
}

// join makes one cluster of nodes that know nothing of each other.
func (c *Cluster) join(ctx context.Context) error {
	err := atOnce(c.Nodes, func(i int, n *Node) (err error) {
		if n.id, err = n.Admin.ClusterMyID(ctx).Result(); err != nil {
			return err
		}
		// Each its own, or they would have to agree who is right about its slots.
		if err := n.Admin.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(); err != nil {
			return err
		}
		if i < primaries {
			return n.Admin.ClusterAddSlotsRange(ctx, firstSlot(i), firstSlot(i+1)-1).Err()
		}
		return nil
	})
	if err != nil {
		return err
	}
	// Each to each, so that nobody has to wait for gossip.
	err = atOnce(c.Nodes, func(i int, n *Node) error {
		for _, other := range c.Nodes[:i] {
			if err := n.Admin.Do(ctx, "CLUSTER", "MEET", other.inside, other.number(), busPort).Err(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return atOnce(c.Nodes[primaries:], func(i int, n *Node) error {
		return await(ctx, func(ctx context.Context) error {
			return n.Admin.ClusterReplicate(ctx, c.Nodes[i%primaries].id).Err()
		})
	})
}

func firstSlot(primary int) int { return primary * slots / primaries }

// Settled returns an error as long as any node says that the cluster is unwell,
// does not know every other node and what it is, or does not yet follow its
// primary. A planned failover, for one, needs all of that.
func (c *Cluster) Settled(ctx context.Context) error {
	want, err := c.Nodes[0].shape(ctx)
	if err != nil {
		return err
	}
	if len(want) != len(c.Nodes) {
		return fmt.Errorf("%s knows %d nodes of %d", c.Nodes[0].Addr(), len(want), len(c.Nodes))
	}
	return atOnce(c.Nodes, func(_ int, n *Node) error {
		text, err := n.Admin.ClusterInfo(ctx).Result()
		if err != nil {
			return err
		}
		if state := fieldOf(text, "cluster_state"); state != "ok" {
			return fmt.Errorf("%s: cluster_state is %q", n.Addr(), state)
		}
		got, err := n.shape(ctx)
		if err != nil {
			return err
		}
		if !maps.Equal(got, want) {
			return fmt.Errorf("%s and %s do not agree about the nodes", c.Nodes[0].Addr(), n.Addr())
		}
		if err := c.tells(ctx, n); err != nil {
			return err
		}
		if got[n.id] == "" { // it is a primary
			return nil
		}
		return n.linked(ctx)
	})
}

func containersOf(nodes []*Node) []testcontainers.Container {
	all := make([]testcontainers.Container, len(nodes))
	for i, n := range nodes {
		all[i] = n.container
	}
	return all
}
