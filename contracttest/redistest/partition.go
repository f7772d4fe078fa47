package redistest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"

	"parley/contracttest/faultproxy"
)

// Cut takes a node off the network of the nodes: it and the others, its replicas
// too, no longer hear of each other, while clients reach all of them.
func (c *Cluster) Cut(tb testing.TB, n *Node) {
	tb.Helper()
	engine(tb, func(ctx context.Context, docker client.APIClient) error {
		if _, err := docker.NetworkDisconnect(ctx, c.bus.ID, client.NetworkDisconnectOptions{Container: n.container.GetContainerID(), Force: true}); err != nil {
			return fmt.Errorf("cut off a node: %w", err)
		}
		return nil
	})
}

// Rejoin puts a node back that was cut off.
func (c *Cluster) Rejoin(tb testing.TB, n *Node) {
	tb.Helper()
	engine(tb, func(ctx context.Context, docker client.APIClient) error {
		if _, err := docker.NetworkConnect(ctx, c.bus.ID, client.NetworkConnectOptions{Container: n.container.GetContainerID()}); err != nil {
			return fmt.Errorf("put a node back: %w", err)
		}
		return c.enter(ctx, n)
	})
}

// Move has every node change its address at once, to one that was never told to
// anybody. Where they were, connections are refused from now on. It needs Movable,
// can be done once, and no node may restart after it.
func (c *Cluster) Move(tb testing.TB) {
	tb.Helper()
	ctx := tb.Context()
	err := atOnce(c.Nodes, func(_ int, n *Node) error {
		former := n.Proxy
		n.Proxy, n.spare = n.spare, nil
		err := n.Admin.ConfigSet(ctx, "port", n.number()).Err()
		if err == nil { // which it would not notice by itself
			err = n.Admin.ConfigSet(ctx, "cluster-announce-port", n.number()).Err()
		}
		former.Set(faultproxy.Refuse())
		n.port = portOf(n.Proxy)
		return errors.Join(err, n.locate(ctx))
	})
	if err != nil {
		tb.Fatalf("move the nodes: %v", err)
	}
	if err := await(ctx, c.Settled); err != nil {
		tb.Fatalf("after the nodes have moved: %v", err)
	}
}

// engine asks the Docker engine for something. Not within the test's context: that is done
// when a cleanup asks for the end of a fault.
func engine(tb testing.TB, what func(context.Context, client.APIClient) error) {
	tb.Helper()
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		tb.Fatalf("no Docker engine answers: %v", err)
	}
	defer func() { _ = provider.Close() }()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), startTimeout)
	defer cancel()
	if err := what(ctx, provider.Client()); err != nil {
		tb.Fatal(err)
	}
}
