package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/faultproxy"
)

const (
	tick        = 20 * time.Millisecond // between two looks at a condition
	awaitLimit  = 60 * time.Second      // for a condition that has to come true
	adminDial   = 2 * time.Second
	adminAnswer = 5 * time.Second
	loopback    = "127.0.0.1"
)

// Node is one Redis of several: a server, and the fault proxy in front of it,
// through which alone clients find it. It is safe for concurrent use, except while it
// moves.
type Node struct {
	*Server

	// Proxy is what listens at Addr.
	Proxy *faultproxy.Proxy
	// Admin talks to the node past the proxy. Its calls are not repeated and give
	// up on a node that is halted after some seconds.
	Admin *goredis.Client

	host   string            // that clients are told
	id     string            // of a cluster's node
	inside string            // IP address for the other nodes
	spare  *faultproxy.Proxy // in front of the port to move to; nil if there is none
}

// Addr is where clients find the node, as host:port: its proxy. It changes by
// Cluster.Move alone, and not when the node restarts.
func (n *Node) Addr() string { return net.JoinHostPort(n.host, n.number()) }

// URL is Addr as a Redis URL, without user name or password.
func (n *Node) URL() string { return "redis://" + n.Addr() }

// Restart is Server.Restart. The proxy finds the node again.
func (n *Node) Restart(tb testing.TB) {
	tb.Helper()
	n.Server.Restart(tb)
	n.Proxy.SetUpstream(n.Server.Addr())
}

// number is the node's port, which inside and for clients is the same.
func (n *Node) number() string {
	number, _, _ := strings.Cut(portOf(n.Proxy), "/")
	return number
}

// portOf is the port inside of the server that is behind a proxy: the same number.
func portOf(p *faultproxy.Proxy) string {
	_, number, _ := net.SplitHostPort(p.Addr())
	return number + "/tcp"
}

// newNode makes a node that runs nowhere yet. Its port is that of its proxy, so
// that the address that it tells clients is right.
func newNode(tb testing.TB, host, password string, opts ...faultproxy.Option) *Node {
	tb.Helper()
	// Nothing is sent there before the container runs.
	n := &Node{Proxy: faultproxy.Start(tb, "", opts...), host: host}
	n.Server = &Server{port: portOf(n.Proxy), password: password}
	dialer := net.Dialer{Timeout: adminDial}
	n.Admin = goredis.NewClient(&goredis.Options{
		Addr:     n.Addr(), // names it in errors; the dialer goes past it
		Password: password,
		Dialer: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, n.Server.Addr())
		},
		MaxRetries: -1, ReadTimeout: adminAnswer, WriteTimeout: adminAnswer, DisableIdentity: true,
	})
	tb.Cleanup(func() { _ = n.Admin.Close() })
	return n
}

// locate finds the node's address on this host and has the proxy go there.
func (n *Node) locate(ctx context.Context) error {
	if err := n.Server.locate(ctx); err != nil {
		return err
	}
	n.Proxy.SetUpstream(n.Server.Addr())
	return nil
}

// info is one field of INFO, empty if there is none.
func (n *Node) info(ctx context.Context, section, field string) (string, error) {
	text, err := n.Admin.Info(ctx, section).Result()
	if err != nil {
		return "", err
	}
	return fieldOf(text, field), nil
}

// linked reports an error until the node is a replica that follows its primary.
func (n *Node) linked(ctx context.Context) error {
	return n.wants(ctx, "replication", "master_link_status", "up")
}

func (n *Node) wants(ctx context.Context, section, field, want string) error {
	got, err := n.info(ctx, section, field)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%s: %s is %q, not yet %q", n.Addr(), field, got, want)
	}
	return nil
}

// fieldOf finds a line "field:value" as INFO and CLUSTER INFO have them.
func fieldOf(text, field string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// await looks again and again until there is no error. It returns the last one if
// that takes too long.
func await(ctx context.Context, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, awaitLimit)
	defer cancel()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("waited in vain: %w", err)
		}
	}
}

// atOnce calls f for all of them at the same time and joins the errors.
func atOnce[T any](all []T, f func(int, T) error) error {
	errs := make(chan error)
	for i, one := range all {
		go func() { errs <- f(i, one) }()
	}
	var joined error
	for range all {
		joined = errors.Join(joined, <-errs)
	}
	return joined
}
