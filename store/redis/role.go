package redis

import (
	"context"
	"slices"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	// roleInterval is between two looks at the roles of the servers that the
	// connections lead to. With roleTimeout it keeps within 2 s the time in which a
	// demoted primary is read.
	roleInterval = time.Second
	// roleTimeout bounds one look, a connection to another server included.
	roleTimeout = 800 * time.Millisecond
)

// role is what a server is in replication.
type role int

const (
	roleNoAnswer role = iota // nothing came; whoever makes the next call will see
	roleUntold               // the server answers, and does not tell
	rolePrimary
	roleReplica
)

// watchRoles looks for connections that lead to a replica until close. After a
// failover the connections to the former primary may stay open, and it goes on
// answering reads with what it had then. A write would be refused and so find
// out, but an instance that only reads would miss every turn from then on.
func (c *clients) watchRoles(interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.checkRoles()
		case <-c.life.Done():
			return
		}
	}
}

// checkRoles asks on each idle connection: some may have been opened before the
// failover, and some after. The pool hands out the connection that was idle for
// longest, so each question goes to another one, and none is kept from the calls
// for longer than a round trip. Connections that are busy now are idle another
// time. Where none is idle there is nothing to ask, so a store that is not used
// connects to nothing.
func (c *clients) checkRoles() {
	current := c.current.Load()
	if current.open.Load() != nil {
		return // the breaker replaces the client
	}
	ctx, cancel := context.WithTimeout(c.life, min(roleTimeout, c.timeout))
	defer cancel()
	for range current.PoolStats().IdleConns {
		switch askRole(ctx, current.Client) {
		case roleNoAnswer:
			return
		case roleUntold:
			c.roleUntold.Store(true)
			return
		case rolePrimary:
			c.roleUntold.Store(false)
		case roleReplica:
			c.roleUntold.Store(false)
			c.leaveReplica(ctx, current)
			return
		}
	}
}

// leaveReplica replaces a client that has a connection to a replica, if a new
// client finds a primary. Until then the replica is read: that is what reads do
// during a failover, and replacing one replica by another would help nobody.
func (c *clients) leaveReplica(ctx context.Context, old *client) {
	next := c.create(old.state)
	if askRole(ctx, next) != rolePrimary || !c.swap(old, next, c.timeout) {
		_ = next.Close()
		return
	}
	c.moved(movedFromReplica)
}

// what is what a server says of itself.
type what struct {
	role              role
	cluster, sentinel bool   // it is a node of a cluster, or a sentinel
	version           string // of the server, as versionOf lets it pass
}

// helloArgs ask for it by HELLO, with the protocol that the connection has already. It
// is in every Redis from 6.0 on, and no ACL can forbid it, as it can ROLE and INFO.
func helloArgs(c *goredis.Client) []any { return []any{"hello", c.Options().Protocol} }

// identity reads the answer.
func identity(said *goredis.Cmd) (w what) {
	switch err := said.Err(); {
	case forbidden(err):
		w.role = roleUntold
		return w
	case err != nil:
		return w // also a refusal: the calls are told the same
	}
	fields := pairsOf(said.Val())
	switch fields["role"] {
	case "master":
		w.role = rolePrimary
	case "replica", "slave":
		w.role = roleReplica
	default:
		w.role = roleUntold
	}
	w.cluster, w.sentinel = fields["mode"] == "cluster", fields["mode"] == "sentinel"
	w.version = versionOf(fields["version"])
	return w
}

// pairsOf are the texts of a map, which is a list of names and values in RESP 2.
func pairsOf(v any) map[string]string {
	texts := map[string]string{}
	add := func(name, value any) {
		n, nok := name.(string)
		if v, ok := value.(string); ok && nok {
			texts[n] = v
		}
	}
	switch v := v.(type) {
	case map[any]any:
		for name, value := range v {
			add(name, value)
		}
	case []any:
		for i := 1; i < len(v); i += 2 {
			add(v[i-1], v[i])
		}
	}
	return texts
}

// askWhat asks a server what it is.
func askWhat(ctx context.Context, c *goredis.Client) what {
	cmd := goredis.NewCmd(ctx, helloArgs(c)...)
	if err := catchPanic(func() error { return c.Process(ctx, cmd) }); err != nil {
		cmd.SetErr(err)
	}
	return identity(cmd)
}

// askRole asks a server for its role.
func askRole(ctx context.Context, c *goredis.Client) role { return askWhat(ctx, c).role }

// RoleUntold reports whether the server does not tell if it is a primary. Then a
// failover that leaves connections to the former primary open is noticed by the
// next write only, or after half an hour, when connections are renewed anyway.
func (s *Store) RoleUntold() bool {
	return slices.ContainsFunc(s.topology.nodes(), func(n *node) bool { return n.roleUntold.Load() })
}
