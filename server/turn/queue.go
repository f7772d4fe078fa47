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

// MaxWaiting bounds the requests of this process that wait for their turn in one
// conversation. An honest user needs one or two.
const MaxWaiting = 4

// The times between two attempts to begin a turn while another instance runs one in
// the conversation; the last is repeated. They grow, so that a wait of the default
// length costs about ten store calls.
var attemptIntervals = [...]time.Duration{
	100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond, time.Second,
}

// queue has the requests of this process that wait for their turn, by conversation,
// in order of arrival. Only the first of each asks the store.
type queue struct {
	mu      sync.Mutex
	waiting map[conversationKey][]*waiter
}

// waiter is a request in the queue.
type waiter struct {
	wake chan struct{} // has room for one signal to check again
}

func (w *waiter) notify() {
	select {
	case w.wake <- struct{}{}:
	default: // a signal is pending already
	}
}

// enter appends a request to its conversation's queue; nil when the queue is full.
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

// leave removes a request and wakes the one that is then first.
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

// notify wakes all requests that wait in a conversation: when a turn begins, which they
// may join, and when it ends.
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

// begin begins the turn, or finds the running turn of the same request. While another
// turn runs in the conversation it waits for up to TurnWait, in order of arrival. It
// uses the request's own context: nothing is begun for a client that has left.
func (r *Runner) begin(ctx context.Context, p *Progress, req *Request, b store.Begin) (held *store.Turn, joined *joinedTurn, err error) {
	key := req.conversationKey()
	if joined := r.join(req); joined != nil {
		return nil, joined, nil
	}
	if r.queue.occupied(key) {
		err = &store.BusyError{RetryAfter: time.Second} // which turn runs is not known here
	} else {
		if held, err = r.tryBegin(ctx, p, req, b); !errors.Is(err, store.ErrBusy) {
			return held, nil, err
		}
		if joined := r.joinBusy(ctx, p, req, err); joined != nil {
			return nil, joined, nil
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
		if joined := r.join(req); joined != nil {
			return nil, joined, nil
		}
		// The end of a turn in this process wakes the queue. That of another process
		// must be polled, and only the first in the queue does that.
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
		if !r.queue.first(key, w) || r.running.get(key) != nil {
			continue
		}
		if held, err = r.tryBegin(ctx, p, req, b); !errors.Is(err, store.ErrBusy) {
			return held, nil, err
		}
		if joined := r.joinBusy(ctx, p, req, err); joined != nil {
			return nil, joined, nil
		}
		attempts++
	}
}

// attemptInterval is how long to wait before the next attempt: at most what is left of
// the running turn's lease, because its instance may be gone, and with jitter, so that
// many waiting requests do not ask the store at once.
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
