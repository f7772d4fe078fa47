package turn

import (
	"context"
	"sync"
	"time"

	"parley/store"
)

// MaxJoined bounds the requests that may join one running turn. Each costs a
// connection; an honest client needs one or two.
const MaxJoined = 8

// joinTime is how long after its begin a turn treats the same input without a key as
// the same request. Later, the user is taken to say it again.
const joinTime = time.Minute

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
}

// requestKey is equal for a request and its repeats.
type requestKey struct {
	key, fingerprint string
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

// joinedTurn is the running turn of an earlier request that this one repeats.
type joinedTurn struct{ feed *Feed }

// join returns the running turn of this process for the same input, with the same key
// or both without one. It is nil when there is none, or when MaxJoined requests have
// joined it. The caller must call leave.
func (r *Runner) join(req *Request) *joinedTurn {
	t := r.running.get(req.conversationKey())
	if t == nil || t.key != req.requestKey() || req.Key == "" && r.cfg.Now().Sub(t.begun) >= joinTime {
		return nil
	}
	t.feed.mu.Lock()
	defer t.feed.mu.Unlock()
	if t.feed.joined == MaxJoined {
		return nil
	}
	t.feed.joined++
	return &joinedTurn{t.feed}
}

// leave is the opposite of join.
func (j *joinedTurn) leave() {
	j.feed.mu.Lock()
	defer j.feed.mu.Unlock()
	j.feed.joined--
}

// wait returns the turn's outcome, or the context's error if ctx is done first. The
// turn goes on in both cases.
func (j *joinedTurn) wait(ctx context.Context) (Answer, Stage, error) {
	changed := make(chan struct{}, 1)
	defer j.feed.Listen(func() {
		select {
		case changed <- struct{}{}:
		default: // a signal is pending already
		}
	})()
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
