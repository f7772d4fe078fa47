package redis

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"time"

	"parley/store"
)

const (
	// watchInterval is between two measurements of how late this process is.
	watchInterval = 20 * time.Millisecond
	// lateFrom is what counts as late: less comes of nothing.
	lateFrom = 5 * time.Millisecond
	// steps is about how often a call waits for a processor: to send and to read, for
	// each of two round trips, and to open a connection.
	steps = 8
	// lookTime is how long a read that was out of time looks for what came meanwhile.
	lookTime = 20 * time.Millisecond
)

// starved is the Reason of errors that come of this process.
const starved = store.NoProcessor

// process knows how long work of this process waited for a processor lately. A call's
// time passes meanwhile, and that is no fault of Redis. It is safe for use from many
// goroutines; a nil process was never late.
type process struct {
	mu   sync.Mutex
	due  time.Time // when watch runs next, if it is on time; zero before it began
	late [128]delay
	next int // in late

	end      context.CancelFunc
	watching sync.WaitGroup
}

// delay is a time in which something waited for a processor.
type delay struct{ from, to time.Time }

// newProcess begins to measure, until close.
func newProcess() *process {
	ctx, end := context.WithCancel(context.Background())
	p := &process{end: end}
	p.watching.Go(func() { p.watch(ctx) })
	return p
}

func (p *process) close() {
	p.end()
	p.watching.Wait()
}

// watch measures until ctx is done.
func (p *process) watch(ctx context.Context) {
	timer := time.NewTimer(watchInterval)
	defer timer.Stop()
	for {
		p.expect(time.Now().Add(watchInterval))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		// A timer's goroutine is preferred to all others. What comes from the network
		// waits at the end of the queue, and so does this.
		runtime.Gosched()
		p.ran(time.Now())
		timer.Reset(watchInterval)
	}
}

func (p *process) expect(due time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.due = due
}

func (p *process) ran(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.due) >= lateFrom {
		p.late[p.next] = delay{p.due, now}
		p.next = (p.next + 1) % len(p.late)
	}
}

// starved reports whether, since then, the wait for a processor was so long at a time
// that a call may have spent all of its time on waiting for one.
func (p *process) starved(since time.Time) bool {
	worst, whole := p.worst(since)
	return worst >= lateFrom && steps*worst >= whole
}

// stood reports whether, since then, this process did nothing for half of the time at
// once. What came about meanwhile, it could not see.
func (p *process) stood(since time.Time) bool {
	worst, whole := p.worst(since)
	return worst >= lateFrom && 2*worst >= whole
}

// worst is the longest wait for a processor since then, and how long ago that is.
func (p *process) worst(since time.Time) (worst, whole time.Duration) {
	if p == nil {
		return 0, 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if !p.due.IsZero() {
		worst = now.Sub(later(p.due, since)) // it waits now
	}
	for _, d := range p.late {
		worst = max(worst, d.to.Sub(later(d.from, since)))
	}
	return worst, now.Sub(since)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Starved reports whether this process, within that time until now, waited for a
// processor so long that it, and not Redis, may be why nothing was heard of Redis.
func (s *Store) Starved(within time.Duration) bool {
	return s.process.starved(time.Now().Add(-within))
}

// unanswered reports whether it was Redis that a call waited for, and not a processor: the
// command had been sent for an eighth of the call's time, in which Redis answers many,
// and nothing that had come was still unread.
func unanswered(err error, began time.Time) bool {
	stalled, ok := errors.AsType[*stalledError](err)
	return ok && steps*stalled.waited >= time.Since(began)
}

// excuse clears Redis of a call that ran out of time, if this process was starved since
// the call began and Redis was not silent. Where there was no connection to hear Redis
// on, something must have come on another, unless it was being dialed and this process
// stood still: then the system may have it, and nobody looked.
func (c *client) excuse(err error, began time.Time) error {
	e, ok := errors.AsType[*store.Error](err)
	if !ok || !ranOut(e) || unanswered(e.Cause, began) || !c.process.starved(began) {
		return err
	}
	unconnected := errors.Is(e.Kind, store.ErrPoolExhausted) || c.ranOutWaiting(e.Cause) || ranOutDialing(e.Cause)
	unseen := ranOutDialing(e.Cause) && c.process.stood(began)
	if unconnected && !unseen && !c.heardWithin(time.Since(began)) {
		return err
	}
	return &store.Error{Op: e.Op, Kind: store.ErrOverloaded, Reason: starved, Cause: e.Cause}
}

// ranOutDialing reports whether nothing answered to a connection that was tried.
func ranOutDialing(cause error) bool {
	op, ok := errors.AsType[*net.OpError](cause)
	return ok && op.Op == "dial" && op.Timeout()
}

// ranOut reports whether a call failed for lack of time.
func ranOut(e *store.Error) bool {
	lookup, ok := errors.AsType[*net.DNSError](e.Cause)
	return !errors.As(e.Cause, new(*openError)) &&
		(errors.Is(e.Kind, store.ErrTimeout) || errors.Is(e.Kind, store.ErrPoolExhausted) || ok && lookup.IsTimeout)
}
