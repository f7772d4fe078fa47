package turn

import (
	"context"
	"errors"
	"sync"
	"time"

	"parley/store"
)

// MaxJoined is how many requests may join one running turn. Each costs a
// connection; a client that means well has one or two.
const MaxJoined = 8

// joinTime is how long after its begin a turn takes the same input for the same
// request. Later, a user means it again.
const joinTime = time.Minute

// running are the turns that this process runs, from their begin to the end of
// their commit. One conversation has one at a time.
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

// requestKey is what a repeat has in common with the first.
type requestKey struct {
	key, fingerprint string
}

func (r *Request) conversationKey() conversationKey {
	return conversationKey{r.Owner, r.Conversation}
}

func (r *Request) requestKey() requestKey { return requestKey{r.Key, r.Fingerprint} }

// add says that a turn runs until remove is called.
func (r *running) add(key conversationKey, t *runningTurn) (remove func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turns[key] = t
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.turns[key] == t { // another process may have taken the turn over, and a later one run here since
			delete(r.turns, key)
		}
	}
}

func (r *running) get(key conversationKey) *runningTurn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.turns[key]
}

// holdRunning makes sure that the store knows of the turn that this process runs
// in a conversation, if it runs one. Its lease may have lapsed while the store was
// away, and then a begin would adopt a turn whose agent has been asked: the agent
// would be asked twice, and the first request lose its answer.
func (r *Runner) holdRunning(ctx context.Context, key conversationKey) error {
	t := r.running.get(key)
	if t == nil {
		return nil
	}
	err := r.cfg.Store.RenewLease(ctx, *t.held)
	if errors.Is(err, store.ErrStale) || errors.Is(err, store.ErrNotFound) {
		return nil // the turn is lost; its runner will find out
	}
	return err
}

// joinedTurn is the running turn of an earlier request that this one repeats.
type joinedTurn struct{ feed *Feed }

// join finds the turn that this process runs for the same input, with the same key
// or both without one. It is nil when there is none, or when MaxJoined have joined
// it; else leave must be called.
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

// leave gives the place back.
func (j *joinedTurn) leave() {
	j.feed.mu.Lock()
	defer j.feed.mu.Unlock()
	j.feed.joined--
}

// wait returns what the turn came to, or the context's error when that is done
// first. The turn goes on either way.
func (j *joinedTurn) wait(ctx context.Context) (Answer, Stage, error) {
	changed := make(chan struct{}, 1)
	defer j.feed.Listen(func() {
		select {
		case changed <- struct{}{}:
		default: // it will look anyway
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
