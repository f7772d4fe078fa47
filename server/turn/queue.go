package turn

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"parley/store"
)

// MaxWaiting is how many requests of this process may wait for their turn in one
// conversation. A user who means well has one or two.
const MaxWaiting = 4

// The times between two attempts to begin a turn while another instance runs one
// in the conversation. They grow, so that a wait of the default length costs about
// ten calls of the store; the last is repeated.
var attemptIntervals = [...]time.Duration{
	100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond, time.Second,
}

// queue holds the requests of this process that wait for their turn, by their
// conversation, in the order in which they came. Only the first asks the store.
type queue struct {
	mu      sync.Mutex
	waiting map[conversationKey][]*waiter
}

// waiter is a request in the queue.
type waiter struct {
	wake chan struct{} // holds one: look again
}

func (w *waiter) notify() {
	select {
	case w.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// enter puts a request at the end of its conversation's queue; nil when there is
// no room.
func (q *queue) enter(key conversationKey) *waiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting[key]) == MaxWaiting {
		return nil
	}
	w := &waiter{wake: make(chan struct{}, 1)}
	q.waiting[key] = append(q.waiting[key], w)
	return w
}

// leave takes a request out, and tells the one that is first then.
func (q *queue) leave(key conversationKey, w *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	rest := slices.DeleteFunc(q.waiting[key], func(other *waiter) bool { return other == w })
	if len(rest) == 0 {
		delete(q.waiting, key)
		return
	}
	q.waiting[key] = rest
	rest[0].notify()
}

// notify has everyone who waits in a conversation look again.
func (q *queue) notify(key conversationKey) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, w := range q.waiting[key] {
		w.notify()
	}
}

func (q *queue) occupied(key conversationKey) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting[key]) > 0
}

func (q *queue) first(key conversationKey, w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting[key]) > 0 && q.waiting[key][0] == w
}

// begin takes the turn, or finds the running turn that is the same request's. It
// waits up to TurnWait while another turn runs in the conversation, in the order of
// arrival. It uses the request's own context: a client that has left by now has
// nothing begun for it.
func (r *Runner) begin(ctx context.Context, p *Progress, req *Request, b store.Begin) (held *store.Turn, joined *joinedTurn, err error) {
	key := req.conversationKey()
	if joined := r.join(req); joined != nil {
		return nil, joined, nil
	}
	err = &store.BusyError{RetryAfter: time.Second} // as others wait already, without knowing for what
	if !r.queue.occupied(key) {
		if held, err = r.tryBegin(ctx, p, req, b); !errors.Is(err, store.ErrBusy) {
			return held, nil, err
		}
	}
	if r.cfg.TurnWait <= 0 {
		return nil, nil, err
	}
	w := r.queue.enter(key)
	if w == nil {
		return nil, nil, err
	}
	defer r.queue.leave(key, w)
	limit := time.NewTimer(r.cfg.TurnWait)
	defer limit.Stop()
	for attempts := 0; ; {
		// The end of a turn in this process is told; that of another's has to be
		// asked for, and only the first in the queue does.
		var again <-chan time.Time
		if r.queue.first(key, w) && r.running.get(key) == nil {
			again = time.After(attemptInterval(attempts, err))
		}
		select {
		case <-limit.C:
			return nil, nil, err
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-r.life.Done():
			return nil, nil, context.Cause(r.life)
		case <-again:
		case <-w.wake:
		}
		if joined := r.join(req); joined != nil {
			return nil, joined, nil
		}
		if !r.queue.first(key, w) || r.running.get(key) != nil {
			continue
		}
		if held, err = r.tryBegin(ctx, p, req, b); !errors.Is(err, store.ErrBusy) {
			return held, nil, err
		}
		attempts++
	}
}

// attemptInterval is how long to wait before the next attempt: not longer than the
// turn that runs has left of its lease, for its instance may be gone, and not the
// same for all, so that many that wait for one store do not ask it at once.
func attemptInterval(attempts int, busy error) time.Duration {
	wait := attemptIntervals[min(attempts, len(attemptIntervals)-1)]
	wait = wait*3/4 + rand.N(wait/4) //nolint:gosec // spreads load, guards nothing
	if e, ok := errors.AsType[*store.BusyError](busy); ok && e.RetryAfter > 0 {
		wait = min(wait, e.RetryAfter+time.Millisecond)
	}
	return wait
}

// tryBegin asks the store for the turn once.
func (r *Runner) tryBegin(ctx context.Context, p *Progress, req *Request, b store.Begin) (*store.Turn, error) {
	var held store.Turn
	err := r.timed(&p.Store, func() error {
		if err := r.outbox.flush(ctx, req.conversationKey()); err != nil {
			return err
		}
		if err := r.holdRunning(ctx, req.conversationKey()); err != nil {
			return err
		}
		var err error
		held, err = r.cfg.Store.BeginTurn(ctx, b)
		return err
	})
	return &held, err
}
