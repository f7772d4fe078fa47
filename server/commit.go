package server

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"parley/store"
)

// Bounds of what waits to be stored.
const (
	maxCommits     = 1000
	maxCommitBytes = 64 << 20
	maxCommitAge   = 10 * time.Minute
	// The time between two attempts doubles from the one to the other. It is short
	// because of what begins when the store is back: see commits.
	firstWait = 25 * time.Millisecond
	mostWait  = 500 * time.Millisecond
)

// ending is how a turn ended, on its way to the store.
type ending struct {
	turn  store.Turn
	done  *store.Completion // nil when the turn failed
	class string            // what it failed of

	since time.Time
	bytes int
	cause string // class of what kept it from being stored
}

func (e *ending) place() place { return place{e.turn.Owner, e.turn.Conversation} }

// write takes it to the store once. On a goroutine of its own, a panic would end
// the process.
func (e *ending) write(ctx context.Context, s store.Store) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{value: v, stack: debug.Stack()}
		}
	}()
	if e.done == nil {
		return late("FailTurn", s.FailTurn(ctx, e.turn, e.class))
	}
	return late("CompleteTurn", s.CompleteTurn(ctx, e.turn, *e.done))
}

// outage reports whether the store may yet take what it refused: a turn that was
// taken over, a conversation that is gone and a record that does not decode stay so.
func outage(err error) bool {
	e, ok := errors.AsType[*store.Error](err)
	return ok && !errors.Is(e, store.ErrCorrupt)
}

// commits are the ends of turns that the store would not take while their
// request waited. Each is tried again until it is stored, has become void, or
// passes a bound. No answer is ever served from here: what a client gets was read
// from the store, or was stored before it got it.
//
// The lease of such a turn is not renewed. Whenever the store would take a
// renewal it takes the end itself, which serves better. So once the store is back
// there is a moment in which the lease has lapsed and the end is not stored yet.
// A begin in this process cannot fall into it, because settle goes first: it
// stores the end and finds the answer, or fails as the store does. One in another
// process can: it adopts the turn and asks the agent again, and the fence makes
// the end that waits here void. Retry-After after a failed commit is the lease's
// time, so that a client that heeds it comes later.
type commits struct {
	store   store.Store
	timeout time.Duration // of one attempt
	now     func() time.Time
	log     *slog.Logger
	dropped func(class string)

	life context.Context
	stop context.CancelFunc

	mu      sync.Mutex
	waiting map[place]*ending // one conversation has one turn at a time
	order   []*ending         // the same, in the order in which they are tried
	bytes   int
	closed  bool
	idle    chan struct{} // closed when the worker has ended; nil while there is none
}

// place is where a turn is.
type place struct {
	owner        store.Owner
	conversation string
}

func newCommits(cfg Config) *commits {
	c := &commits{
		store: cfg.Store, timeout: cfg.CommitTimeout, now: cfg.Now, log: cfg.Log, dropped: cfg.OnCommitDropped,
		waiting: map[place]*ending{},
	}
	c.life, c.stop = context.WithCancel(context.Background())
	return c
}

// pending is how many wait.
func (c *commits) pending() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting)
}

// push keeps an end whose last attempt failed for cause. The end of a later turn
// in the same conversation makes the earlier one void: it could not have begun
// without taking its place.
func (c *commits) push(e *ending, cause error) {
	e.since, e.cause, e.bytes = c.now(), Class(cause), sizeOf(e)
	c.mu.Lock()
	defer c.mu.Unlock()
	earlier := c.waiting[e.place()]
	if earlier != nil && earlier.turn.Fence > e.turn.Fence {
		c.drop(e, "void")
		return
	}
	if earlier != nil {
		c.remove(earlier)
		c.drop(earlier, "void")
	}
	switch {
	case c.closed:
		c.drop(e, "shutdown")
		return
	case len(c.waiting) >= maxCommits || c.bytes+e.bytes > maxCommitBytes:
		c.drop(e, "full")
		return
	}
	c.waiting[e.place()] = e
	c.order = append(c.order, e)
	c.bytes += e.bytes
	if c.idle == nil {
		c.idle = make(chan struct{})
		go c.work(c.idle) // ends with the last end, or with close
	}
}

// settle stores what waits for a conversation, if anything does. Its error says
// that the store still does not take it.
func (c *commits) settle(ctx context.Context, at place) error {
	c.mu.Lock()
	e := c.waiting[at]
	c.mu.Unlock()
	if e == nil {
		return nil
	}
	return c.try(ctx, e)
}

// work tries until nothing waits. A pass ends with the first failure, since the
// next would most likely fail as well, and what failed goes to the back, so that
// one that can never be stored holds nothing up.
func (c *commits) work(idle chan<- struct{}) {
	defer close(idle)
	for wait := firstWait; pause(c.life, wait); wait = min(2*wait, mostWait) {
		for {
			e := c.next()
			if e == nil {
				return
			}
			if c.now().Sub(e.since) > maxCommitAge {
				c.giveUp(e, "age")
				continue
			}
			if err := c.try(c.life, e); err != nil {
				break
			}
			wait = firstWait
		}
	}
}

// next takes the first that still waits to the back of the order. When nothing
// waits, the worker is over.
func (c *commits) next() *ending {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.order) == 0 {
		c.order, c.idle = nil, nil
		return nil
	}
	e := c.order[0]
	c.order = append(c.order[1:], e)
	return e
}

// try makes one attempt. It is repeatable, so it does not matter that a request
// and the worker may make one at the same time. The error is nil unless the end
// still waits.
func (c *commits) try(ctx context.Context, e *ending) error {
	attempt, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	err := e.write(attempt, c.store)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil && ctx.Err() != nil:
		return err // whoever wanted it has left
	case outage(err):
		e.cause = Class(err)
		return err
	case c.waiting[e.place()] != e:
		return nil // another attempt ended it meanwhile
	}
	c.remove(e)
	if err != nil {
		e.cause = Class(err)
		c.drop(e, "void")
		return nil
	}
	c.log.LogAttrs(ctx, logInfo, "end of a turn stored late", e.attrs(c.now())...)
	return nil
}

// giveUp drops one that waits.
func (c *commits) giveUp(e *ending, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting[e.place()] == e {
		c.remove(e)
		c.drop(e, reason)
	}
}

// remove and drop are called with the lock held.
func (c *commits) remove(e *ending) {
	delete(c.waiting, e.place())
	c.order = slices.DeleteFunc(c.order, func(other *ending) bool { return other == e })
	c.bytes -= e.bytes
}

// drop counts and logs an end that will not be stored.
func (c *commits) drop(e *ending, reason string) {
	level := logWarn
	if e.done != nil && reason != "void" {
		level = logError // an answer is lost
	}
	attrs := append(e.attrs(c.now()), slog.String("reason", reason), slog.String("class", e.cause))
	c.log.LogAttrs(c.life, level, "end of a turn dropped", attrs...)
	c.dropped(e.cause)
}

func (e *ending) attrs(now time.Time) []slog.Attr {
	return []slog.Attr{
		slog.String("conversation_id", e.turn.Conversation), slog.Int("turn", e.turn.Number),
		slog.Bool("answered", e.done != nil), slog.Float64("waited_ms", millis(now.Sub(e.since))),
	}
}

// close waits until nothing waits or ctx is done, and drops the rest. No turn may
// run any more.
func (c *commits) close(ctx context.Context) {
	c.mu.Lock()
	idle := c.idle
	c.closed = true
	c.mu.Unlock()
	if idle != nil {
		select {
		case <-idle:
		case <-ctx.Done():
		}
	}
	c.stop()
	if idle != nil {
		<-idle
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.waiting {
		c.remove(e)
		c.drop(e, "shutdown")
	}
}

// commit stores the agent's answer. While the store is away it tries again until
// the request's time for it is over; then the answer goes to those that wait, and
// the error to the client.
func (t *turns) commit(ctx context.Context, held *store.Turn, done *store.Completion) error {
	ctx, cancel := detached(ctx, t.commits.timeout)
	defer cancel()
	e := &ending{turn: *held, done: done}
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(t.life, stop)() // an attempt that is made may end, the next is not made
	var why error
	for wait := firstWait; ; wait = min(2*wait, mostWait) {
		err := late("CompleteTurn", t.store.CompleteTurn(ctx, *held, *done))
		if !outage(err) {
			return err
		}
		if why == nil || !errors.Is(err, store.ErrTimeout) {
			why = err // a later attempt has less time, so its timeout may be our own
		}
		if !lookup(err).Retryable || !pause(waiting, wait) {
			done.Unheard = true
			t.commits.push(e, why)
			return why
		}
	}
}

// pause waits about that long and reports whether ctx lasts until then. The
// times differ, so that many that failed together do not come back together.
func pause(ctx context.Context, wait time.Duration) bool {
	wait = wait/2 + rand.N(wait/2) //nolint:gosec // spreads load, guards nothing
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= wait {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// sizeOf is about how much memory an end holds.
func sizeOf(e *ending) int {
	size := 1 << 10
	if e.done == nil {
		return size
	}
	size += len(e.done.Extra)
	for _, m := range e.done.Messages {
		size += 256 + len(m.Text) + len(m.CardJSON) + len(m.CardID)
		if m.ExtractedPayload != nil {
			size += len(m.ExtractedPayload.Data)
		}
	}
	return size
}
