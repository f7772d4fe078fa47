package turn

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"parley/store"
)

// commit stores the agent's answer. During an outage of the store it tries again
// until CommitTimeout has passed. Then the answer goes to the outbox, and the error
// to the client. What the store refuses for good ends the turn as failed:
// trying again would block the conversation for what cannot happen.
func (r *Runner) commit(ctx context.Context, p *Progress, held *store.Turn, done *store.Completion) error {
	err := r.timed(&p.Store, func() error { return r.tryCommit(ctx, held, done) })
	if isRefusal(err) {
		r.fail(ctx, p, held, r.cfg.Class(err))
	}
	return err
}

// tryCommit is commit without its last resort.
func (r *Runner) tryCommit(ctx context.Context, held *store.Turn, done *store.Completion) error {
	ctx, cancel := detached(ctx, r.cfg.CommitTimeout)
	defer cancel()
	err := r.complete(ctx, held, done)
	if isTransient(err) {
		err = r.completeLater(ctx, held, done, err)
	}
	return err
}

func (r *Runner) complete(ctx context.Context, held *store.Turn, done *store.Completion) error {
	return store.AsTimeout("CompleteTurn", r.cfg.Store.CompleteTurn(ctx, *held, *done))
}

// completeLater tries again until ctx is done, and then leaves the answer to the outbox.
// The first attempt failed with why.
func (r *Runner) completeLater(ctx context.Context, held *store.Turn, done *store.Completion, why error) error {
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(r.life, stop)() // a running attempt may finish; no other is started
	for wait := firstPause; pause(waiting, wait); wait = min(2*wait, longestPause) {
		err := r.complete(ctx, held, done)
		if !isTransient(err) {
			return err
		}
		// The first cause: a later attempt has less time, so that it ran out may be our doing.
		if !errors.Is(err, store.ErrTimeout) && !errors.Is(err, store.ErrOverloaded) {
			why = err
		}
	}
	done.Unheard = true
	r.outbox.push(&entry{request: context.WithoutCancel(ctx), turn: *held, done: done}, why)
	return why
}

// pause waits for wait with jitter, so that turns that failed together are not
// retried together. It reports false if ctx ends first.
func pause(ctx context.Context, wait time.Duration) bool {
	wait = wait/2 + rand.N(wait/2) //nolint:gosec // spreads load, guards nothing
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= wait {
		return false
	}
	return sleep(ctx, wait)
}
