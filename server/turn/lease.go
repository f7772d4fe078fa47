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

// renewLease renews the lease of a turn until release is called, and heeds what others
// want of the turn. It cancels the returned context, with the reason as its cause, when
// the turn is lost or stopped, or the process ends. Any other failed renewal is soon tried again, so that a short outage does not
// cost the lease. It does not fail the turn: the fence decides at the commit. Others may
// cancel it, too.
func (r *Runner) renewLease(parent context.Context, t *runningTurn) (_ context.Context, _ context.CancelCauseFunc, release func()) {
	ctx, cancel := context.WithCancelCause(parent)
	t.stoppable(cancel)
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
		switch signals, err := r.renewOnce(ctx, t.held); {
		case err == nil:
			r.heed(ctx, t, signals)
			next.Reset(renewInterval)
		case isVoid(err):
			cancel(err)
		default:
			next.Reset(renewRetryInterval)
		}
	})
	return ctx, cancel, func() {
		unlink()
		cancel(nil)
		renewing.Lock() // waits for a renewal that is running
		defer renewing.Unlock()
		next.Stop()
		t.publishing.mu.Lock()
		defer t.publishing.mu.Unlock()
		t.publishing.end()
	}
}

// renewOnce makes one renewal, bounded by the interval, or one slow call would cost the
// lease. It recovers panics: on a timer's goroutine they would end the process.
func (r *Runner) renewOnce(ctx context.Context, held *store.Turn) (_ store.Signals, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = r.panicked(ctx, "lease renewal panicked", v)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, renewInterval)
	defer cancel()
	return r.cfg.Store.RenewLease(ctx, *held)
}

// contain logs a panic of a goroutine that no request waits for. It is deferred.
func (r *Runner) contain(ctx context.Context, what string) {
	if v := recover(); v != nil {
		_ = r.panicked(ctx, what, v)
	}
}

func (r *Runner) panicked(ctx context.Context, what string, v any) error {
	p := NewPanicError(v)
	r.cfg.Log.LogAttrs(ctx, slog.LevelError, what, append(Exception(p), slog.String("error", p.Error()))...)
	return p
}
