package turn

import (
	"context"
	"sync"
	"time"

	"parley/store"
)

// The shortest time between two entries that a turn publishes, and between two
// attempts while the store does not take them.
const (
	publishInterval = 100 * time.Millisecond
	publishRetry    = time.Second
)

// publishing is what publishes a turn, while somebody elsewhere follows it.
type publishing struct {
	mu     sync.Mutex
	cancel context.CancelFunc // nil while nothing is published
	ended  chan struct{}      // closed when the goroutine has given up
}

// heed does what others want of a turn.
func (r *Runner) heed(ctx context.Context, t *runningTurn, s store.Signals) {
	if s.Stop {
		t.stop()
		return
	}
	t.publishing.mu.Lock()
	defer t.publishing.mu.Unlock()
	if !s.Listened || ctx.Err() != nil {
		t.publishing.end()
		return
	}
	if t.publishing.cancel != nil {
		select {
		case <-t.publishing.ended: // it gave up
		default:
			return
		}
	}
	// Not the context of the request: each entry would be a span of its trace.
	own, cancel := context.WithCancel(context.Background())
	unlink := context.AfterFunc(ctx, cancel)
	ended := make(chan struct{})
	t.publishing.cancel, t.publishing.ended = cancel, ended
	r.publishers.Go(func() {
		defer close(ended)
		defer unlink()
		defer cancel()
		r.publish(own, t)
	})
}

// end stops publishing. It does not wait, or a store that hangs would delay the commit;
// Shutdown waits. The lock must be held.
func (p *publishing) end() {
	if p.cancel != nil {
		p.cancel()
		p.cancel = nil
	}
}

// publish copies the feed of a turn to the store until ctx is done, the store says
// that nobody follows, or the bounds are reached.
func (r *Runner) publish(ctx context.Context, t *runningTurn) {
	defer r.contain(ctx, "publishing a turn panicked")
	changed, leave := t.feed.changes()
	defer leave()
	p := publisher{feed: t.feed}
	for {
		wait := publishInterval
		e, ok, full := p.next()
		if full {
			return
		}
		if ok {
			kept, s, err := r.publishOnce(ctx, t, e)
			switch {
			case isVoid(err), isRefusal(err), err == nil && !s.Listened:
				return
			case err != nil:
				wait = publishRetry
			case s.Stop:
				t.stop()
			}
			if err != nil || !kept {
				p.restart()
				ok = false
			}
		}
		if !sleep(ctx, wait) {
			return
		}
		if !ok && !p.started {
			continue // a snapshot is due
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (r *Runner) publishOnce(ctx context.Context, t *runningTurn, e store.Entry) (bool, store.Signals, error) {
	ctx, cancel := context.WithTimeout(ctx, renewInterval)
	defer cancel()
	kept, s, err := r.cfg.Store.Publish(ctx, *t.held, e)
	return kept, s, store.AsTimeout("Publish", err)
}

// sleep waits for d; false if ctx is done first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// changes is a channel that has a signal after every change of the feed.
func (f *Feed) changes() (changed <-chan struct{}, leave func()) {
	signal := make(chan struct{}, 1)
	return signal, f.Listen(func() {
		select {
		case signal <- struct{}{}:
		default: // a signal is pending already
		}
	})
}
