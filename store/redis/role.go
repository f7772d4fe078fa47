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
	if askRole(ctx, next) != rolePrimary || !c.swap(old, next) {
		_ = next.Close()
	}
}

// askRole asks by HELLO, with the protocol that the connection has already. It
// is in every Redis from 6.0 on, and no ACL can forbid it, as it can ROLE and INFO.
func askRole(ctx context.Context, c *goredis.Client) role {
	cmd := goredis.NewMapStringInterfaceCmd(ctx, "hello", c.Options().Protocol)
	err := catchPanic(func() error { return c.Process(ctx, cmd) })
	switch {
	case forbidden(err):
		return roleUntold
	case err != nil:
		return roleNoAnswer // also a refusal: the calls are told the same
	}
	switch cmd.Val()["role"] {
	case "master":
		return rolePrimary
	case "replica", "slave":
		return roleReplica
	}
	return roleUntold
}

// RoleUntold reports whether the server does not tell if it is a primary. Then a
// failover that leaves connections to the former primary open is noticed by the
// next write only, or after half an hour, when connections are renewed anyway.
func (s *Store) RoleUntold() bool {
	return slices.ContainsFunc(s.topology.nodes(), func(n *node) bool { return n.roleUntold.Load() })
}
