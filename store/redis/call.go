package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/store"
)

// do runs one call of the store, about one owner, on the primary of that owner's slot,
// within its budget, and gives every error its kind.
func (s *Store) do(ctx context.Context, o store.Owner, op string, call callFunc) error {
	if err := ctx.Err(); err != nil {
		return s.notBegun(op, err)
	}
	budget, cancel := s.budget(ctx)
	defer cancel()
	n, err := s.topology.at(budget, o)
	if err != nil {
		return classify(ctx, budget, op, err)
	}
	return n.do(ctx, budget, op, call)
}

// budget is the context of one call. That of a caller who has no more time than one may
// take is as good: another around it would never end by itself.
func (s *Store) budget(ctx context.Context) (context.Context, context.CancelFunc) {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= s.timeout {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, s.timeout)
}

// on is do for a call that is about a node.
func (s *Store) on(ctx context.Context, n *node, op string, call callFunc) error {
	if err := ctx.Err(); err != nil {
		return s.notBegun(op, err)
	}
	budget, cancel := s.budget(ctx)
	defer cancel()
	return n.do(ctx, budget, op, call)
}

// every are all primaries, for a call that is made on each of them.
func (s *Store) every(ctx context.Context, op string) ([]part, error) {
	if err := ctx.Err(); err != nil {
		return nil, s.notBegun(op, err)
	}
	budget, cancel := s.budget(ctx)
	defer cancel()
	parts, err := s.topology.all(budget)
	return parts, classify(ctx, budget, op, err)
}

// notBegun is the error of a call whose context was done before. Its deadline may have
// passed because this process was starved, which is then said, too.
func (s *Store) notBegun(op string, done error) error {
	if errors.Is(done, context.DeadlineExceeded) && s.Starved(s.timeout) {
		done = errors.Join(&store.Error{Op: op, Kind: store.ErrOverloaded, Reason: starved, Cause: done}, done)
	}
	return fmt.Errorf("store: %s: %w", op, done)
}

// callFunc is what a call does on a client. It may be run more than once.
type callFunc func(ctx context.Context, c *client) error

// do runs one call on a node. A call whose connection broke is made once more, on a
// new one, if at least half of the time that one may take is left: that hides
// connections that the other end closed while they were idle, and a planned failover.
// Every call can take it: one that writes finds its own work done by the token it
// carries, sets what is set, or looks itself whether it had happened (Delete). A large
// write is made once more than that, see judge. Nothing else is ever repeated; who
// waited in vain once would wait twice.
func (n *node) do(ctx, budget context.Context, op string, call callFunc) error {
	c, err := n.get()
	if err != nil {
		err = classify(ctx, ctx, op, err)
		n.doubt(err)
		return err
	}
	c = n.resume(budget, c)
	began := time.Now()
	err = catchPanic(func() error { return call(budget, c) })
	if at, broken := n.blamed(c, err); broken != nil && connectionLost(err) && time.Since(began) < n.timeout/2 && budget.Err() == nil {
		at.renew(broken)
		at.doubt(&store.Error{Op: op, Kind: store.ErrUnreachable, Cause: err})
		next := n.current.Load()
		err = catchPanic(func() error { return call(budget, next) })
		if large := (*largeWriteLost)(nil); errors.As(err, &large) {
			err = judge(budget, next, err, call)
		}
	}
	n, c = n.blamed(c, err)
	if c == nil { // its breaker is open, or the store is closed
		return classify(ctx, ctx, op, err)
	}
	err = explained(budget, c, op, c.classify(ctx, budget, op, began, err))
	n.report(c, err)
	n.doubt(err)
	return err
}

// resume replaces a client that could not dial for want of credentials once there are
// some again, and returns the client to use: the library goes on failing for up to a
// second after it could not dial for a while.
func (n *node) resume(ctx context.Context, c *client) *client {
	if !c.unsigned.Load() {
		return c
	}
	if _, err := n.signIn.credentials(ctx); err == nil && c.unsigned.CompareAndSwap(true, false) {
		n.renew(c)
	}
	return n.current.Load()
}

// explained looks into a refusal that says nothing but that a command is wrong: a
// sentinel has none of ours.
func explained(budget context.Context, c *client, op string, err error) error {
	e, ok := errors.AsType[*store.Error](err)
	if !ok || !errors.Is(e.Kind, store.ErrRejected) || e.Code != "ERR" || !askWhat(budget, c.Client).sentinel {
		return err
	}
	return classify(budget, budget, op, errSentinel)
}

// blamed is the node, and the client, that an error comes from: the one that was asked,
// or one where a redirect led. There is no client if that one was not asked.
func (n *node) blamed(c *client, err error) (*node, *client) {
	if e, ok := errors.AsType[*elsewhere](err); ok {
		return e.node, e.client
	}
	return n, c
}

// connectionLost reports whether a connection broke under a call, was closed by us
// because it led to a primary that no longer is one, or led there, which the library
// takes for a reason to close it.
func connectionLost(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, goredis.ErrClosed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || goredis.IsReadOnlyError(err)
}

// panicked is a panic of the client library, which some replies of a few bytes
// can cause. They are answers that were not understood, no reason to die.
type panicked struct{ value any }

// Error gives the type only: the value may hold what was stored.
func (p *panicked) Error() string { return fmt.Sprintf("panic in the client library: %T", p.value) }

// catchPanic runs f and returns its panic as an error.
func catchPanic(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicked{v}
		}
	}()
	return f()
}
