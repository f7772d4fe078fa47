package redistest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	goredis "github.com/redis/go-redis/v9"
	"github.com/testcontainers/testcontainers-go"

	"parley/contracttest/faultproxy"
)

const (
	sentinels = 3
	quorum    = 2
	// SentinelMaster is the name by which the sentinels know the primary.
	SentinelMaster = "parley"

	sentinelFile  = "/data/sentinel.conf" // which a sentinel writes to
	sentinelReady = "+monitor master"     // of the log
)

// Sentinels are a primary, its replicas and three sentinels that watch them, each
// in a container of its own behind a fault proxy of its own. The containers share
// one network, which still another one holds: so 127.0.0.1 with the port of a proxy
// is the node's address for the others as well as for clients, and the sentinels
// can tell both the same.
//
// Source: https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/
type Sentinels struct {
	// Nodes are the node that was started as primary, and its replicas.
	Nodes []*Node
	// Sentinels are those who watch.
	Sentinels []*Node
}

// DownAfter sets how long a node may be silent before a sentinel takes it for down;
// 1 s without this option.
func DownAfter(d time.Duration) Option { return func(p *plan) { p.downAfter = d } }

// SentinelPassword has the sentinels ask for a password.
func SentinelPassword(secret string) Option { return func(p *plan) { p.secret = secret } }

// StartSentinel starts sentinels and what they watch for the calling test and ends
// them when the test ends. When it returns, every sentinel knows the replicas and
// the other sentinels. It skips as Start does.
func StartSentinel(tb testing.TB, opts ...Option) *Sentinels {
	tb.Helper()
	needRedis(tb)
	p := plan{host: loopback, replicas: 1, downAfter: time.Second}
	for _, o := range opts {
		o(&p)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	s := &Sentinels{}
	for range 1 + p.replicas {
		s.Nodes = append(s.Nodes, newNode(tb, p.host, password(p.flags), faultproxy.WithTLS(p.tls)))
	}
	for range sentinels {
		s.Sentinels = append(s.Sentinels, newNode(tb, p.host, p.secret, faultproxy.WithTLS(p.tls)))
	}
	holder := holdNetwork(ctx, tb, slices.Concat(s.Nodes, s.Sentinels))
	tb.Cleanup(func() { end(tb, containersOf(slices.Concat(s.Nodes, s.Sentinels))...) })
	err := atOnce(s.Nodes, func(i int, n *Node) error {
		words := append(commandLine(authenticated(p.flags)), "--port", n.number(), "--repl-diskless-sync-delay", "0")
		if i > 0 {
			words = append(words, "--replicaof", loopback, s.Nodes[0].number())
		}
		return n.share(ctx, tb, holder, readyLine, words)
	})
	if err == nil {
		err = await(ctx, func(ctx context.Context) error {
			return atOnce(s.Nodes[1:], func(_ int, n *Node) error { return n.linked(ctx) })
		})
	}
	// Afterwards: a sentinel that asks the primary before its replicas are there
	// asks again only after ten seconds.
	if err == nil {
		err = atOnce(s.Sentinels, func(_ int, n *Node) error {
			file := testcontainers.ContainerFile{Reader: strings.NewReader(p.sentinelConfig(s.Nodes[0], n)), ContainerFilePath: sentinelFile, FileMode: 0o666}
			return n.share(ctx, tb, holder, sentinelReady, []string{sentinelFile, "--sentinel"}, testcontainers.WithFiles(file))
		})
	}
	if err == nil {
		err = await(ctx, s.Settled)
	}
	if err != nil {
		tb.Fatalf("start sentinels: %v", err)
	}
	return s
}

// Addrs are the addresses of the sentinels.
func (s *Sentinels) Addrs() []string {
	all := make([]string, len(s.Sentinels))
	for i, n := range s.Sentinels {
		all[i] = n.Addr()
	}
	return all
}

// Primary is the node that a sentinel names as the primary, by the word of the
// first that answers.
func (s *Sentinels) Primary(tb testing.TB) *Node {
	tb.Helper()
	var err error
	for _, n := range s.Sentinels {
		var addr []string
		if addr, err = n.sentinel().GetMasterAddrByName(tb.Context(), SentinelMaster).Result(); err == nil {
			i := slices.IndexFunc(s.Nodes, func(n *Node) bool { return n.number() == addr[1] })
			if i < 0 {
				tb.Fatalf("%s names %s, which is no node", n.Addr(), addr)
			}
			return s.Nodes[i]
		}
	}
	tb.Fatalf("no sentinel answers: %v", err)
	return nil
}

// Failover has the sentinels promote a replica as planned, and waits until all of
// them name it. Sentinel promotes before it demotes, so the former primary takes
// writes for a moment that are lost.
func (s *Sentinels) Failover(tb testing.TB) {
	tb.Helper()
	ctx := tb.Context()
	old := s.Primary(tb)
	// It refuses for a moment, while it does not know of a good replica.
	err := await(ctx, func(ctx context.Context) error {
		return s.Sentinels[0].sentinel().Failover(ctx, SentinelMaster).Err()
	})
	if err != nil {
		tb.Fatalf("fail over: %v", err)
	}
	s.AwaitOther(tb, old)
}

// AwaitOther waits until every sentinel that answers names another primary.
func (s *Sentinels) AwaitOther(tb testing.TB, than *Node) {
	tb.Helper()
	err := await(tb.Context(), func(ctx context.Context) error {
		return atOnce(s.Sentinels, func(_ int, n *Node) error {
			addr, err := n.sentinel().GetMasterAddrByName(ctx, SentinelMaster).Result()
			if err == nil && addr[1] == than.number() {
				return fmt.Errorf("%s still names %s", n.Addr(), than.Addr())
			}
			return nil
		})
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// Settled returns an error as long as any sentinel does not know that all replicas
// and all other sentinels are well.
func (s *Sentinels) Settled(ctx context.Context) error {
	return atOnce(s.Sentinels, func(_ int, n *Node) error {
		// It says so if a failover would be possible, but counts nobody.
		if err := n.sentinel().CkQuorum(ctx, SentinelMaster).Err(); err != nil {
			return err
		}
		state, err := n.sentinel().Master(ctx, SentinelMaster).Result()
		if err != nil {
			return err
		}
		for field, want := range map[string]int{"num-slaves": len(s.Nodes) - 1, "num-other-sentinels": sentinels - 1} {
			if got := state[field]; got != fmt.Sprint(want) {
				return fmt.Errorf("%s: %s is %q, not yet %d", n.Addr(), field, got, want)
			}
		}
		if state["flags"] != "master" {
			return fmt.Errorf("%s takes the primary for %s", n.Addr(), state["flags"])
		}
		replicas, err := n.sentinel().Replicas(ctx, SentinelMaster).Result()
		for _, r := range replicas {
			if r["flags"] != "slave" || r["master-link-status"] != "ok" {
				err = errors.Join(err, fmt.Errorf("%s takes a replica for %s, its link for %s", n.Addr(), r["flags"], r["master-link-status"]))
			}
		}
		return err
	})
}

// AwaitSettled waits until Settled says that all is well.
func (s *Sentinels) AwaitSettled(tb testing.TB) {
	tb.Helper()
	if err := await(tb.Context(), s.Settled); err != nil {
		tb.Fatal(err)
	}
}

// sentinel is the node's Admin with the commands of a sentinel.
func (n *Node) sentinel() *goredis.SentinelClient {
	return goredis.NewSentinelClient(n.Admin.Options())
}

// sentinelConfig is what a sentinel starts with.
func (p plan) sentinelConfig(primary, n *Node) string {
	lines := []string{
		"port " + n.number(),
		"protected-mode no",
		fmt.Sprintf("sentinel monitor %s %s %s %d", SentinelMaster, loopback, primary.number(), quorum),
		fmt.Sprintf("sentinel down-after-milliseconds %s %d", SentinelMaster, p.downAfter.Milliseconds()),
		// After twice that time there may be another failover.
		fmt.Sprintf("sentinel failover-timeout %s %d", SentinelMaster, 2*p.downAfter.Milliseconds()),
	}
	if secret := password(p.flags); secret != "" {
		lines = append(lines, fmt.Sprintf("sentinel auth-pass %s %s", SentinelMaster, secret))
	}
	if p.secret != "" {
		lines = append(lines, "requirepass "+p.secret, "sentinel sentinel-pass "+p.secret)
	}
	return strings.Join(lines, "\n") + "\n"
}

// holdNetwork starts the container whose network the nodes share. It publishes the
// ports of all of them, and goes on whatever becomes of them.
func holdNetwork(ctx context.Context, tb testing.TB, nodes []*Node) testcontainers.Container {
	tb.Helper()
	ports := make([]string, len(nodes))
	for i, n := range nodes {
		ports[i] = n.port
	}
	holder, err := run(ctx, tb, readyLine, commandLine(nil), testcontainers.WithExposedPorts(ports...))
	tb.Cleanup(func() { end(tb, holder) })
	if err != nil {
		tb.Fatal(err)
	}
	return holder
}

// share starts the container of a node in the network of another one.
func (n *Node) share(ctx context.Context, tb testing.TB, holder testcontainers.Container, ready string, words []string, more ...testcontainers.ContainerCustomizer) error {
	mode := container.NetworkMode("container:" + holder.GetContainerID())
	more = append(more, testcontainers.WithHostConfigModifier(func(h *container.HostConfig) { h.NetworkMode = mode }))
	var err error
	if n.container, err = run(ctx, tb, ready, words, more...); err != nil {
		return err
	}
	n.publisher = holder
	return n.locate(ctx)
}
