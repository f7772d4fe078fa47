package turn

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"parley/store"
)

// When a lease is renewed, and when again if that failed.
const (
	renewInterval      = store.LeaseTime / 3
	renewRetryInterval = store.LeaseTime / 15
)

// renewLease renews the lease of a turn until release is called. It cancels the
// returned context, with the reason as its cause, when the turn is lost or the process
// ends. Any other failed renewal is soon tried again, so that a short outage does not
// cost the lease. It does not fail the turn: the fence decides at the commit.
func (r *Runner) renewLease(ctx context.Context, held *store.Turn) (_ context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	unlink := context.AfterFunc(r.life, func() { cancel(context.Cause(r.life)) })
	// A timer, not a waiting goroutine, saves memory: an idle stream over HTTP/1.1
	// costs 55 KB instead of 70 KB (TestIdleStreams).
	var renewing sync.Mutex // held by a renewal, and until next is set
	renewing.Lock()
	defer renewing.Unlock()
	var next *time.Timer
	next = time.AfterFunc(renewInterval, func() {
		renewing.Lock()
		defer renewing.Unlock()
		if ctx.Err() != nil {
			return
		}
		switch err := r.renewOnce(ctx, held); {
		case err == nil:
			next.Reset(renewInterval)
		case isVoid(err):
			cancel(err)
		default:
			next.Reset(renewRetryInterval)
		}
	})
	return ctx, func() {
		unlink()
		cancel(nil)
		renewing.Lock() // waits for a renewal that is running
		defer renewing.Unlock()
		next.Stop()
	}
}

// renewOnce makes one renewal, bounded by the interval, or one slow call would cost the
// lease. It recovers panics: on a timer's goroutine they would end the process.
func (r *Runner) renewOnce(ctx context.Context, held *store.Turn) (err error) {
	defer func() {
		if v := recover(); v != nil {
			p := NewPanicError(v)
			r.cfg.Log.LogAttrs(ctx, slog.LevelError, "lease renewal panicked", slog.String("error", p.Error()), slog.String("stack", string(p.Stack)))
			err = p
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, renewInterval)
	defer cancel()
	return r.cfg.Store.RenewLease(ctx, *held)
}
