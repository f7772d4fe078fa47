package turn

import (
	"context"
	"errors"
	"sync"
	"time"

	"parley/store"
)

// MaxJoined bounds the requests that may join one running turn. Each costs a
// connection; an honest client needs one or two.
const MaxJoined = 8

// running has the turns that this process runs, from begin to commit. A conversation
// has one at a time.
type running struct {
	mu    sync.Mutex
	turns map[conversationKey]*runningTurn
}

// runningTurn is one of them.
type runningTurn struct {
	held  *store.Turn
	key   requestKey
	begun time.Time
	feed  *Feed
	span  string // Request.Traceparent

	publishing publishing

	mu      sync.Mutex
	stopped bool
	cut     context.CancelCauseFunc // ends the agent's part; nil before it
}

// stop ends the agent's part of the turn, now or when it begins.
func (t *runningTurn) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
	if t.cut != nil {
		t.cut(stoppedError{})
	}
}

// stoppable says how the agent's part is ended.
func (t *runningTurn) stoppable(cut context.CancelCauseFunc) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cut = cut; t.stopped {
		cut(stoppedError{})
	}
}

// join joins the turn; nil when MaxJoined requests have.
func (t *runningTurn) join() *joinedTurn {
	if !t.feed.join() {
		return nil
	}
	return &joinedTurn{feed: t.feed, span: t.span, leave: func() { t.feed.leave() }}
}

// requestKey is equal for a request and its repeats.
type requestKey struct {
	key, fingerprint string
}

// followed reports whether another request than the one that began it waits for the
// turn's answer, on this instance or another.
func (t *runningTurn) followed() bool {
	t.publishing.mu.Lock()
	elsewhere := t.publishing.cancel != nil
	t.publishing.mu.Unlock()
	return elsewhere || t.feed.followed()
}

func (r *Request) conversationKey() conversationKey {
	return conversationKey{r.Owner, r.Conversation}
}

func (r *Request) requestKey() requestKey { return requestKey{r.Key, r.Fingerprint} }

// add registers a running turn until remove is called.
func (r *running) add(key conversationKey, t *runningTurn) (remove func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turns[key] = t
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.turns[key] == t { // if another process took the turn over, a later one may be registered here
			delete(r.turns, key)
		}
	}
}

func (r *running) get(key conversationKey) *runningTurn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.turns[key]
}

// holdRunning renews the lease of the turn that this process runs in a conversation,
// if there is one. The lease may have lapsed during an outage of the store. Then a
// begin would adopt a turn whose agent was already asked: the agent would be asked
// twice, and the first request would lose its answer.
func (r *Runner) holdRunning(ctx context.Context, key conversationKey) error {
	t := r.running.get(key)
	if t == nil {
		return nil
	}
	_, err := r.cfg.Store.RenewLease(ctx, *t.held)
	if isVoid(err) {
		return nil // the turn is lost; its runner will find out
	}
	return err
}

// joinedTurn is a running turn that a request follows: that of an earlier request that
// this one repeats, or one that it was asked to follow.
type joinedTurn struct {
	feed  *Feed
	span  string // Request.Traceparent of the request that runs it; "" on another instance
	leave func() // must be called
}

// join returns the running turn of this process for the same input, with the same key
// or both without one. It is nil when there is none, or when MaxJoined requests have
// joined it.
func (r *Runner) join(req *Request) *joinedTurn {
	t := r.running.get(req.conversationKey())
	if t == nil || t.key != req.requestKey() || req.Key == "" && r.cfg.Now().Sub(t.begun) >= store.JoinTime {
		return nil
	}
	return t.join()
}

// joinBusy returns the running turn for the same input, mostly that of another
// instance, as join does; nil when there is none any more. busy is what BeginTurn said.
func (r *Runner) joinBusy(ctx context.Context, p *Progress, req *Request, busy error) *joinedTurn {
	if e, ok := errors.AsType[*store.BusyError](busy); !ok || !e.Same {
		return nil
	}
	if r.running.get(req.conversationKey()) != nil { // it began here after this request had looked for it
		return r.join(req)
	}
	j, err := r.joinElsewhere(ctx, p, req.conversationKey(), req.Kind)
	if err != nil {
		return nil // who cannot join waits
	}
	return j
}

// wait returns the turn's outcome, or the context's error if ctx is done first. The
// turn goes on in both cases.
func (j *joinedTurn) wait(ctx context.Context) (Answer, Stage, error) {
	changed, leave := j.feed.changes()
	defer leave()
	for {
		if a, stage, over, err := j.feed.outcome(); over {
			return a, stage, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Answer{}, "", ctx.Err()
		}
	}
}
