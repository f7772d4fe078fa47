package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// do runs one call of the store within its budget and gives every error its
// kind. A call whose connection broke is made once more, on a new one, if at
// least half of the budget is left: that hides connections that the other end
// closed while they were idle, and a planned failover. Every call can take it:
// one that writes finds its own work done by the token it carries, sets what is
// set, or looks itself whether it had happened (Delete). A large write is made once
// more than that, see judge. Nothing else is ever repeated; who waited in vain once
// would wait twice.
func (s *Store) do(ctx context.Context, op string, call func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store: %s: %w", op, err)
	}
	c, err := s.breaker.get()
	if err != nil {
		return classify(ctx, ctx, op, err)
	}
	budget, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	began := time.Now()
	err = catchPanic(func() error { return call(budget) })
	if s.worthRepeating(budget, began, err) {
		s.breaker.renew(c)
		err = catchPanic(func() error { return call(budget) })
		if large := (*largeWriteLost)(nil); errors.As(err, &large) {
			err = s.judge(budget, err, call)
		}
	}
	err = c.classify(ctx, budget, op, err)
	s.breaker.report(c, err)
	return err
}

// worthRepeating reports whether a call whose connection broke is made again.
func (s *Store) worthRepeating(budget context.Context, began time.Time, err error) bool {
	return connectionLost(err) && time.Since(began) < s.timeout/2 && budget.Err() == nil
}

// connectionLost reports whether a connection broke under a call, or led to a
// primary that no longer is one, which the library takes for a reason to close it.
func connectionLost(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
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
