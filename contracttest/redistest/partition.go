package redistest

import (
	"context"
	"fmt"
	"testing"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
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
