package turn

import (
	"sync"

	"parley/store"
)

// MaxJoined is how many requests may join one running turn. Each costs a
// connection; a client that means well has one or two.
const MaxJoined = 8

// running are the turns of this process that a repeat with the same key can join.
type running struct {
	mu    sync.Mutex
	feeds map[requestKey]*Feed
}

// requestKey is what a repeat has in common with the first.
type requestKey struct {
	owner                          store.Owner
	conversation, key, fingerprint string
}

func keyOf(req *Request) requestKey {
	return requestKey{req.Owner, req.Conversation, req.Key, req.Fingerprint}
}

// add lets others join until leave is called.
func (r *running) add(req *Request, f *Feed) (leave func()) {
	if f == nil || req.Key == "" {
		return func() {}
	}
	key := keyOf(req)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.feeds[key] = f
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.feeds[key] == f { // a repeat may have adopted the turn since
			delete(r.feeds, key)
		}
	}
}

// Join finds the turn that an earlier request like this one runs in this process;
// leave must be called when its reader goes. It is nil when there is none here, or
// when MaxJoined have joined it.
func (r *Runner) Join(req *Request) (f *Feed, leave func()) { return r.running.join(req) }

func (r *running) join(req *Request) (f *Feed, leave func()) {
	r.mu.Lock()
	f = r.feeds[keyOf(req)]
	r.mu.Unlock()
	if f == nil || req.Key == "" {
		return nil, nil
	}
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
