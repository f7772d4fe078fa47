package turn

import (
	"context"
	"errors"
	"sync"

	"parley/store"
)

// MaxJoined is how many requests may join one running turn. Each costs a
// connection; a client that means well has one or two.
const MaxJoined = 8

// running are the turns that this process runs, from their begin to the end of
// their commit. One conversation has one at a time.
type running struct {
	mu    sync.Mutex
	turns map[conversationKey]*runningTurn
}

// runningTurn is one of them.
type runningTurn struct {
	held *store.Turn
	key  requestKey
	feed *Feed // nil when nobody can join
}

// requestKey is what a repeat has in common with the first.
type requestKey struct {
	key, fingerprint string
}

func (r *Request) conversationKey() conversationKey {
	return conversationKey{r.Owner, r.Conversation}
}

func (r *Request) requestKey() requestKey { return requestKey{r.Key, r.Fingerprint} }

// add says that the turn runs until leave is called.
func (r *running) add(req *Request, held *store.Turn, f *Feed) (leave func()) {
	key, t := req.conversationKey(), &runningTurn{held: held, key: req.requestKey(), feed: f}
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

// Join finds the turn that an earlier request like this one runs in this process;
// leave must be called when its reader goes. It is nil when there is none here, or
// when MaxJoined have joined it.
func (r *Runner) Join(req *Request) (f *Feed, leave func()) { return r.running.join(req) }

func (r *running) join(req *Request) (f *Feed, leave func()) {
	t := r.get(req.conversationKey())
	if t == nil || t.feed == nil || req.Key == "" || t.key != req.requestKey() {
		return nil, nil
	}
	f = t.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.joined == MaxJoined {
		return nil, nil
	}
	f.joined++
	return f, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.joined--
	}
}
