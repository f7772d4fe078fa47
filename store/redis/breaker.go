package redis

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/store"
)

const (
	// tripAfter failures of the transport in a row, the breaker opens.
	tripAfter = 5
	// probePause is between two probes of a Redis that does not answer.
	probePause = 250 * time.Millisecond
	// probeTimeout is how long one probe may wait. It has to be short: while a
	// probe waits on a connection that leads nowhere, no other is made.
	probeTimeout = 500 * time.Millisecond
)

// errOpen is the error of calls that are made while the breaker is open.
var errOpen = errors.New("redis: breaker is open")

// breaker is a circuit breaker in front of Redis.
//
// It opens after tripAfter failures of the transport in a row. From then on
// calls fail at once, and no request of a user is spent on finding out whether
// Redis is back: the breaker probes by itself, each time with a new client, and
// the first client that gets an answer replaces the old one. That closes the
// breaker. It also ends the library's own pause after failed dials, which is a
// second long.
type breaker struct {
	*clients
}

// state is what the breaker has counted. The zero state is that of a closed
// breaker.
type state struct {
	failures atomic.Int32 // of the transport, in a row
	open     atomic.Bool
}

// get returns the client to use, or errOpen.
func (b breaker) get() (*client, error) {
	c := b.current.Load()
	if c.open.Load() {
		return nil, errOpen
	}
	return c, nil
}

// report counts how a call on a client went, by the error that its caller gets.
// An answer of any kind, also a refusal, shows that the transport works. A
// canceled call shows nothing, and neither does a pool without a free
// connection: the calls that hold the connections report for themselves.
func (b breaker) report(c *client, err error) {
	var outage *store.Error
	switch {
	case errors.As(err, &outage) && outOfDescriptors(outage.Cause): // which says nothing of Redis
	case !errors.As(err, &outage):
		if !errors.Is(err, context.Canceled) {
			c.failures.Store(0)
		}
	case errors.Is(outage.Kind, store.ErrUnreachable), errors.Is(outage.Kind, store.ErrTimeout):
		if c.failures.Add(1) >= tripAfter {
			b.trip(c)
		}
	case errors.Is(outage.Kind, store.ErrPoolExhausted), errors.Is(outage.Kind, store.ErrProtocol):
	default:
		c.failures.Store(0)
	}
}

// trip opens the breaker and starts the probes that close it again.
func (b breaker) trip(c *client) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.life.Err() == nil && c.open.CompareAndSwap(false, true) {
		b.running.Go(b.awaitRecovery)
	}
}

// awaitRecovery probes until Redis answers and then replaces the client. A second
// series of probes waits as long as a call may, so that a Redis that is merely
// slow is found as well.
func (b breaker) awaitRecovery() {
	ctx, found := context.WithCancel(b.life)
	defer found()
	next := make(chan *goredis.Client)
	var probing sync.WaitGroup
	for _, limit := range []time.Duration{min(probeTimeout, b.timeout), b.timeout} {
		probing.Go(func() { b.probe(ctx, limit, next) })
	}
	select {
	case c := <-next:
		old := b.replace(c)
		found()
		probing.Wait()
		b.retire(old)
	case <-ctx.Done(): // close waits for this, and closes the client
		probing.Wait()
	}
}

// probe makes clients until one gets an answer within limit, and hands that one
// over.
func (b breaker) probe(ctx context.Context, limit time.Duration, next chan<- *goredis.Client) {
	pause := time.NewTicker(probePause)
	defer pause.Stop()
	for ctx.Err() == nil {
		c := b.create()
		if answers(ctx, c, limit) {
			select {
			case next <- c:
				return
			case <-ctx.Done():
			}
		}
		_ = c.Close()
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
}

// answers reports whether Redis answers a PING, be it with a refusal: every
// caller then learns of that by its own call.
func answers(ctx context.Context, c *goredis.Client, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// The library heeds a deadline, not the end of a context: close would wait for
	// an answer that a halted Redis does not give.
	keep := context.AfterFunc(ctx, func() { _ = c.Close() })
	err := catchPanic(func() error { return c.Ping(ctx).Err() })
	var refusal goredis.Error
	return keep() && (err == nil || errors.As(err, &refusal) && !goredis.IsMaxClientsError(refusal))
}
