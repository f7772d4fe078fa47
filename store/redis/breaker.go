package redis

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/store"
)

const (
	// tripAfter failures of the transport in a row, the breaker asks Redis itself.
	tripAfter = 5
	// probePause is between two probes of a Redis that does not answer.
	probePause = 250 * time.Millisecond
	// probeTimeout is how long one probe may wait at most. It has to be short: while
	// a probe waits on a connection that leads nowhere, no other is made.
	probeTimeout = 500 * time.Millisecond
	// suspectTimeout is how long the PING that decides whether to open may wait at
	// most, and half of what a call may. A busy network delays it, too.
	suspectTimeout = time.Second
)

// errOpen is the error of calls that are made while the breaker is open.
var errOpen = errors.New("redis: breaker is open")

// openError is errOpen with the kind of the failure that opened the breaker, why that
// was, and when.
type openError struct {
	kind   error
	reason string
	at     time.Time
}

// Error implements error.
func (e *openError) Error() string { return errOpen.Error() }

// Unwrap makes errors.Is(err, errOpen) true.
func (e *openError) Unwrap() error { return errOpen }

// breaker is a circuit breaker in front of Redis.
//
// It goes by Redis and not by its callers: these can keep each other waiting while
// Redis is well. After tripAfter failures of the transport in a row it sends a PING
// on a connection of its own, beside the calls, and opens only if that fails too.
// A call that was slow for its size is no such failure.
//
// From then on calls fail at once, and no request of a user is spent on finding out
// whether Redis is back: the breaker probes by itself, each time with a new client,
// and the first client that gets an answer replaces the old one. That closes the
// breaker. It also ends the library's own pause after failed dials, which is a
// second long.
type breaker struct {
	*clients
}

// get returns the client to use, or an *openError.
func (b breaker) get() (*client, error) {
	c := b.current.Load()
	if open := c.open.Load(); open != nil {
		return nil, open
	}
	return c, nil
}

// report counts how a call on a client went, by the error that its caller gets.
// An answer of any kind, also a refusal, shows that the transport works. These show
// nothing: a canceled call; one that was slow for its size; and a pool without a free
// connection, because the calls that hold the connections report for themselves.
func (b breaker) report(c *client, err error) {
	outage, ok := errors.AsType[*store.Error](err)
	switch {
	case ok && (outOfDescriptors(outage.Cause) || errors.Is(outage.Kind, store.ErrCredentials)): // which says nothing of Redis
	case !ok:
		if !errors.Is(err, context.Canceled) {
			c.succeed()
		}
	case errors.Is(outage.Cause, errFewReplicas): // so says the primary
		c.succeed()
	case errors.Is(outage.Kind, store.ErrUnreachable), errors.Is(outage.Kind, store.ErrTimeout):
		if !slowForItsSize(outage.Cause) && c.failures.Add(1) >= tripAfter {
			b.suspect(c, outage)
		}
	case errors.Is(outage.Kind, store.ErrPoolExhausted), errors.Is(outage.Kind, store.ErrOverloaded), errors.Is(outage.Kind, store.ErrProtocol):
	default:
		c.succeed()
	}
}

// suspect has the breaker ask Redis itself, unless it is asking already. last is
// the failure that made it.
func (b breaker) suspect(c *client, last *store.Error) {
	if c.suspected.Load() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	inUse := b.current.Load().state == c.state
	if b.life.Err() == nil && inUse && c.open.Load() == nil && c.suspected.CompareAndSwap(false, true) {
		b.running.Go(func() { b.examine(c, last) })
	}
}

// examine finds out whether it is Redis that fails, and opens the breaker if so.
func (b breaker) examine(c *client, last *store.Error) {
	defer c.suspected.Store(false)
	e := BreakerEvent{Err: last}
	next, began := b.fresh(), time.Now()
	limit := min(suspectTimeout, b.timeout/2)
	answered, failed := ping(b.life, next, limit)
	for !answered && b.unsure(began, failed) {
		_ = next.Close()
		limit = min(2*limit, b.timeout)
		next, began = b.fresh(), time.Now()
		answered, failed = ping(b.life, next, limit)
	}
	e.Took = time.Since(began)
	switch {
	case b.life.Err() != nil:
		_ = next.Close()
		return
	case lacksCredentials(failed):
		e.Reason = reasonNoCredentials
	case answered && !c.heardWithin(max(e.Took, c.quiet)):
		// All connections lead nowhere, and each of them would cost a call its budget.
		e.Reason = reasonReplaced
		old := b.replace(next)
		b.told(e)
		b.retire(old)
		return
	case answered:
		e.Reason = reasonAnswers
	case outOfDescriptors(failed):
		e.Reason = reasonNoFiles
	case errors.Is(transportKind(b.life, failed), store.ErrTimeout) && c.heardWithin(e.Took):
		e.Reason = reasonSendsReplies
	default:
		e.Reason, e.Open = reasonSilent, true
	}
	_ = next.Close()
	if !e.Open {
		c.succeed()
		b.told(e)
		return
	}
	c.open.Store(&openError{last.Kind, cmp.Or(last.Reason, last.Code), time.Now()})
	b.told(e)
	b.awaitRecovery()
}

// unsure reports whether a PING failed, and this process may be why: another follows.
func (b breaker) unsure(began time.Time, failed error) bool {
	timedOut := errors.Is(transportKind(b.life, failed), store.ErrTimeout)
	return b.life.Err() == nil && timedOut && !unanswered(failed, began) && b.process.starved(began)
}

// awaitRecovery probes until Redis answers and then replaces the client. A second
// series of probes waits as long as a call may, so that a Redis that is merely
// slow is found as well.
func (b breaker) awaitRecovery() {
	ctx, found := context.WithCancel(b.life)
	defer found()
	began := time.Now()
	next := make(chan probed)
	var probing sync.WaitGroup
	for _, limit := range []time.Duration{min(probeTimeout, b.timeout), b.timeout} {
		probing.Go(func() { b.probe(ctx, limit, next) })
	}
	select {
	case p := <-next:
		old := b.replace(p.client)
		found()
		b.told(BreakerEvent{Reason: p.reason, Took: time.Since(began)})
		probing.Wait()
		b.retire(old)
	case <-ctx.Done(): // close waits for this, and closes the client
		probing.Wait()
	}
}

// probed is a client with which the breaker closes, and why.
type probed struct {
	client *client
	reason string
}

// probe makes clients until one gets an answer within limit, and hands that one
// over. It does the same with one for which there are no credentials: the next calls
// are told of that, which is what an operator has to know first.
func (b breaker) probe(ctx context.Context, limit time.Duration, next chan<- probed) {
	pause := time.NewTicker(probePause)
	defer pause.Stop()
	for ctx.Err() == nil {
		c := b.fresh()
		answered, err := ping(ctx, c, limit)
		p := probed{c, reasonBack}
		if lacksCredentials(err) {
			p.reason = reasonNoCredentials
		}
		if answered || p.reason != reasonBack {
			select {
			case next <- p:
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

// ping reports whether Redis answers a PING, be it with a refusal: every caller
// then learns of that by its own call. err is why not.
func ping(ctx context.Context, c *client, limit time.Duration) (answered bool, err error) {
	// The library heeds a deadline, not the end of a context: close would wait for
	// an answer that a halted Redis does not give.
	keep := context.AfterFunc(ctx, func() { _ = c.Close() })
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err = catchPanic(func() error { return c.Ping(within).Err() })
	var refusal goredis.Error
	answered = keep() && (err == nil || errors.As(err, &refusal) && !goredis.IsMaxClientsError(refusal))
	if !answered && ctx.Err() != nil {
		err = ctx.Err() // closed by the line above
	}
	return answered, err
}
