package turn

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"parley/store"
)

// MaxCommitAge is how long the result of a turn waits to be stored before it is
// dropped.
const MaxCommitAge = 10 * time.Minute

// Bounds of what waits to be stored.
const (
	maxEntries     = 1000
	maxOutboxBytes = 64 << 20
	// The time between two attempts doubles from the first to the second. It is short,
	// so that a result is stored before its lapsed turn is taken over: see outbox.
	firstPause   = 25 * time.Millisecond
	longestPause = 500 * time.Millisecond
)

// entry is the result of a turn that waits to be stored.
type entry struct {
	// request is the context of the request that the turn was of, without its end.
	// Attempts and log lines take its values, so that they belong to its trace.
	request context.Context

	turn  store.Turn
	done  *store.Completion // nil when the turn failed
	class string            // failure class

	since time.Time
	bytes int
	cause string // class of what kept it from being stored
	// exception is what to log of a panic that did; nil for none.
	exception []slog.Attr
}

// attemptContext ends with one context and has the values of another.
type attemptContext struct {
	context.Context
	values context.Context
}

// Value implements context.Context.
func (c attemptContext) Value(key any) any { return c.values.Value(key) }

func (e *entry) key() conversationKey { return conversationKey{e.turn.Owner, e.turn.Conversation} }

// write makes one attempt to store it. It recovers panics, because on the worker's
// goroutine a panic would end the process.
func (e *entry) write(ctx context.Context, s store.Store) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = NewPanicError(v)
		}
	}()
	if e.done == nil {
		return store.AsTimeout("FailTurn", s.FailTurn(ctx, e.turn, e.class))
	}
	return store.AsTimeout("CompleteTurn", s.CompleteTurn(ctx, e.turn, *e.done))
}

// isTransient reports whether a later attempt may succeed. It cannot for a turn that
// was taken over, a conversation that is gone, and what the store refuses for good.
func isTransient(err error) bool {
	e, ok := errors.AsType[*store.Error](err)
	return ok && e.Transient()
}

// isRefusal reports whether the store refused something for good, of a turn that
// is still this caller's.
func isRefusal(err error) bool {
	e, ok := errors.AsType[*store.Error](err)
	return ok && !e.Transient()
}

// isVoid reports whether a turn can never be completed: it was taken over, or its
// conversation is gone.
func isVoid(err error) bool {
	return errors.Is(err, store.ErrStale) || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrLost)
}

// outbox holds results of turns that could not be stored while their request
// waited. Each is retried until it is stored, is void, or exceeds a bound. No answer
// is ever served from here: a client gets only what is stored.
//
// The lease of such a turn is not renewed: whenever the store would accept a renewal,
// it accepts the result itself. So after an outage there is a moment in which the
// lease has lapsed and the result is not stored yet. A begin in this process is safe,
// because flush runs first: it stores the result, and the begin finds the answer. A
// begin in another process can adopt the turn in that moment. Then the agent is asked
// again, and the fence makes the result that waits here void. Retry-After after a
// failed commit is the lease time, so that a client that obeys it comes later.
type outbox struct {
	cfg Config

	life context.Context
	stop context.CancelFunc

	mu      sync.Mutex
	waiting map[conversationKey]*entry // one conversation has one turn at a time
	order   []*entry                   // the same entries, in the order of their attempts
	bytes   int
	closed  bool
	idle    chan struct{} // closed when the worker has ended; nil while there is none
}

// conversationKey names a conversation.
type conversationKey struct {
	owner        store.Owner
	conversation string
}

func newOutbox(cfg Config) *outbox {
	o := &outbox{cfg: cfg, waiting: map[conversationKey]*entry{}}
	o.life, o.stop = context.WithCancel(context.Background())
	return o
}

// pending is the number of entries.
func (o *outbox) pending() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.waiting)
}

// push adds a result whose last attempt failed with cause. It replaces the result of
// an earlier turn of the same conversation, which is void: the later turn could not
// have begun without taking over.
func (o *outbox) push(e *entry, cause error) {
	e.since, e.cause, e.bytes = o.cfg.Now(), o.cfg.Class(cause), sizeOf(e)
	o.mu.Lock()
	defer o.mu.Unlock()
	earlier := o.waiting[e.key()]
	if earlier != nil && earlier.turn.Fence > e.turn.Fence {
		o.drop(e, "void")
		return
	}
	if earlier != nil {
		o.remove(earlier)
		o.drop(earlier, "void")
	}
	switch {
	case o.closed:
		o.drop(e, "shutdown")
		return
	case len(o.waiting) >= maxEntries || o.bytes+e.bytes > maxOutboxBytes:
		o.drop(e, "full")
		return
	}
	o.keep(e)
}

// keep is called with the lock held.
func (o *outbox) keep(e *entry) {
	o.waiting[e.key()] = e
	o.order = append(o.order, e)
	o.bytes += e.bytes
	if o.idle == nil {
		o.idle = make(chan struct{})
		go o.work(o.idle) // returns when nothing waits, or at close
	}
}

// flush stores the result that waits for a conversation, if there is one. An error
// means that the store still does not accept it.
func (o *outbox) flush(ctx context.Context, at conversationKey) error {
	o.mu.Lock()
	e := o.waiting[at]
	o.mu.Unlock()
	if e == nil {
		return nil
	}
	return o.try(ctx, e, true)
}

// work retries until nothing waits. A pass ends at the first failure, because the
// next attempt would probably fail too. The failed entry goes to the back, so that
// one that can never be stored does not block the others.
func (o *outbox) work(idle chan<- struct{}) {
	defer close(idle)
	for wait := firstPause; pause(o.life, wait); wait = min(2*wait, longestPause) {
		for {
			e := o.next()
			if e == nil {
				return
			}
			if o.cfg.Now().Sub(e.since) > MaxCommitAge {
				o.giveUp(e, "age")
				continue
			}
			if err := o.try(o.life, e, false); err != nil {
				break
			}
			wait = firstPause
		}
	}
}

// next returns the first entry and moves it to the back. It returns nil when nothing
// waits, and the worker ends.
func (o *outbox) next() *entry {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.order) == 0 {
		o.order, o.idle = nil, nil
		return nil
	}
	e := o.order[0]
	o.order = append(o.order[1:], e)
	return e
}

// try makes one attempt. Writes are idempotent, so a request and the worker may try
// at the same time. The error is nil unless the entry still waits. asked says whether
// ctx is that of another request, which fails if the attempt does.
func (o *outbox) try(ctx context.Context, e *entry, asked bool) error {
	attempt, cancel := context.WithTimeout(attemptContext{ctx, e.request}, o.cfg.CommitTimeout)
	defer cancel()
	if asked {
		attempt = store.Awaited(attempt, ctx)
	}
	err := e.write(attempt, o.cfg.Store)
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err != nil && ctx.Err() != nil:
		return err // the caller has left
	case isTransient(err):
		e.cause = o.cfg.Class(err)
		return err
	case o.waiting[e.key()] != e:
		return nil // another attempt stored or dropped it meanwhile
	}
	o.remove(e)
	switch {
	case isRefusal(err):
		e.cause = o.cfg.Class(err)
		o.drop(e, "refused")
		if e.done != nil { // the turn ends as failed instead
			o.keep(&entry{request: e.request, turn: e.turn, class: e.cause, since: o.cfg.Now(), cause: e.cause, bytes: sizeOf(&entry{})})
		}
		return nil
	case err != nil:
		e.cause, e.exception = o.cfg.Class(err), Exception(err)
		o.drop(e, "void")
		return nil
	}
	o.cfg.Log.LogAttrs(e.request, slog.LevelInfo, "end of a turn stored late", e.attrs(o.cfg.Now())...)
	return nil
}

// giveUp drops an entry that still waits.
func (o *outbox) giveUp(e *entry, reason string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.waiting[e.key()] == e {
		o.remove(e)
		o.drop(e, reason)
	}
}

// remove and drop need the lock.
func (o *outbox) remove(e *entry) {
	delete(o.waiting, e.key())
	o.order = slices.DeleteFunc(o.order, func(other *entry) bool { return other == e })
	o.bytes -= e.bytes
}

// drop counts and logs a result that will not be stored.
func (o *outbox) drop(e *entry, reason string) {
	level := slog.LevelWarn
	if e.done != nil && reason != "void" {
		level = slog.LevelError // an answer is lost
	}
	attrs := append(e.attrs(o.cfg.Now()), slog.String("reason", reason), slog.String("class", e.cause))
	attrs = append(attrs, e.exception...)
	o.cfg.Log.LogAttrs(e.request, level, "end of a turn dropped", attrs...)
	o.cfg.OnCommitDropped(e.cause)
}

func (e *entry) attrs(now time.Time) []slog.Attr {
	return []slog.Attr{
		slog.String("conversation_id", e.turn.Conversation), slog.Int("turn", e.turn.Number),
		slog.Bool("answered", e.done != nil), slog.Float64("waited_ms", float64(now.Sub(e.since).Microseconds())/1000),
	}
}

// close returns when the outbox is empty or ctx is done, and drops what is left. No
// turn may be running.
func (o *outbox) close(ctx context.Context) {
	o.mu.Lock()
	idle := o.idle
	o.closed = true
	o.mu.Unlock()
	if idle != nil {
		select {
		case <-idle:
		case <-ctx.Done():
		}
	}
	o.stop()
	if idle != nil {
		<-idle
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range o.waiting {
		o.remove(e)
		o.drop(e, "shutdown")
	}
}

// sizeOf estimates the memory of a result and of its request's context, in bytes.
func sizeOf(e *entry) int {
	size := 4 << 10
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
