package turn

import (
	"context"
	"errors"
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

// renewLease renews the lease of a turn until release is called, and ends the
// context it returns, with the reason as its cause, when the turn is lost or the
// process ends. A renewal that fails otherwise is soon tried again, so that a
// store that blinks costs no lease; it changes nothing more: the fence decides at
// the commit.
func (r *Runner) renewLease(ctx context.Context, held *store.Turn) (_ context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	unlink := context.AfterFunc(r.life, func() { cancel(context.Cause(r.life)) })
	// A timer, not a goroutine that waits: without the goroutines that waited
	// beside each turn, the memory of a silent stream over HTTP/1.1 went from 70 to
	// 55 KB (TestIdleStreams).
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
		case errors.Is(err, store.ErrStale) || errors.Is(err, store.ErrNotFound):
			cancel(err)
		default:
			next.Reset(renewRetryInterval)
		}
	})
	return ctx, func() {
		unlink()
		cancel(nil)
		renewing.Lock() // a renewal that is under way ends first
		defer renewing.Unlock()
		next.Stop()
	}
}

// renewOnce must not outlast the interval, or one slow call would cost the lease.
// It runs on a timer's goroutine, where a panic would end the process and every
// other turn.
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
