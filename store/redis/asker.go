package redis

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	// askTimeout bounds one question to one node, a connection to it included.
	askTimeout = 500 * time.Millisecond
	// askerLife is how long the connection of a node that is asked no more stays open.
	askerLife = time.Minute
)

// asker asks one node which primary has which slot, on a connection of its own: those
// of the calls may all be waiting.
type asker struct {
	addr   string
	create func() *goredis.Client
	busy   atomic.Bool // it is asking; whoever set this has the client
	rdb    *goredis.Client
	used   time.Time // when it was asked last
}

// ask returns what the node says, or why it does not. A connection on which nothing
// came is closed, so that the next question goes over another.
func (a *asker) ask(ctx context.Context) ([]claim, error) {
	if a.rdb == nil {
		a.rdb = a.create()
	}
	rdb := a.rdb
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	// The library heeds a deadline, not the end of a context: see ping.
	keep := context.AfterFunc(ctx, func() { _ = rdb.Close() })
	cmd := goredis.NewCmd(ctx, "cluster", "slots")
	err := catchPanic(func() error { return rdb.Process(ctx, cmd) })
	var refusal goredis.Error
	answered := keep() && (err == nil || errors.As(err, &refusal))
	if !answered {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		a.close()
		return nil, err
	}
	if err != nil {
		return nil, unknownCommand(err, errNoCluster)
	}
	return parseSlots(cmd.Val(), hostOf(a.addr))
}

func (a *asker) close() {
	if a.rdb != nil {
		_ = a.rdb.Close()
		a.rdb = nil
	}
}

// errNoCluster says that a server is no node of a cluster: it runs as a single server,
// or is a sentinel.
var errNoCluster = errors.New("redis: not a node of a cluster")

// unknownCommand adds what it means that a server does not have a command, or does not
// in its mode. One that does not let this user run it, or cannot answer now, does not
// mean that.
func unknownCommand(err, means error) error {
	var refusal goredis.Error
	if errors.As(err, &refusal) && !goredis.IsMaxClientsError(refusal) {
		if code, _ := respKind(refusal); code == "ERR" {
			return errors.Join(means, err)
		}
	}
	return err
}
