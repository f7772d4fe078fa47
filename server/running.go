package server

import (
	"slices"
	"sync"

	"parley/store"
)

// maxJoined is how many requests may join one running turn. Each costs a
// connection; a client that means well has one or two.
const maxJoined = 8

// feed is what a running turn has said so far, for everybody who streams it.
// A reader has a position of its own and takes what is new to it, so a slow one
// holds nothing back and costs no memory: it misses states of texts that are
// still being written, never a message.
type feed struct {
	mu        sync.Mutex
	messages  []store.Message
	writing   []delta // texts whose message is yet to come
	version   int     // of the newest delta
	listeners []*func()
	joined    int

	over   bool
	answer answer
	err    error
	stage  string // where err happened
}

// delta is all that has been written so far of a message that is not yet whole.
type delta struct {
	Message string `json:"messageId"`
	Text    string `json:"text"`
	version int
}

// position is how far a reader of a feed has come.
type position struct {
	messages int
	version  int
}

// write says how far a message has come. A nil feed, here and below, is one that
// nobody reads.
func (f *feed) write(message, text string) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version++
	f.change()
	for i := range f.writing {
		if f.writing[i].Message == message {
			f.writing[i].Text, f.writing[i].version = text, f.version
			return
		}
	}
	f.writing = append(f.writing, delta{Message: message, Text: text, version: f.version})
}

// say adds messages that are whole. The text of the message called written, if
// there is one, is no longer being written.
func (f *feed) say(written string, messages []store.Message) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.writing {
		if f.writing[i].Message == written {
			f.writing = append(f.writing[:i], f.writing[i+1:]...)
			break
		}
	}
	f.messages = append(f.messages, messages...)
	f.change()
}

// end says what the turn came to. Nothing may follow.
func (f *feed) end(a answer, err error, stage string) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over, f.answer, f.err, f.stage = true, a, err, stage
	f.change()
}

// change wakes the readers.
func (f *feed) change() {
	for _, wake := range f.listeners {
		(*wake)()
	}
}

// listen has wake called at every change until leave is. Wake must neither block
// nor use the feed.
func (f *feed) listen(wake func()) (leave func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listeners = append(f.listeners, &wake)
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.listeners = slices.DeleteFunc(f.listeners, func(l *func()) bool { return l == &wake })
	}
}

// news gives what is new to a reader and moves its position: whole messages first,
// then how far the others have come.
func (f *feed) news(at *position) (messages []store.Message, deltas []delta, over bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	messages = f.messages[at.messages:]
	for _, d := range f.writing {
		if d.version > at.version {
			deltas = append(deltas, d)
		}
	}
	at.messages, at.version = len(f.messages), f.version
	return messages, deltas, f.over
}

// outcome is what the turn came to, once news says that it is over.
func (f *feed) outcome() (answer, string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answer, f.stage, f.err
}

// running are the turns of this process that a repeat with the same key can join.
type running struct {
	mu    sync.Mutex
	feeds map[request]*feed
}

// request is what a repeat has in common with the first.
type request struct {
	owner                          store.Owner
	conversation, key, fingerprint string
}

func requestOf(in *input) request {
	return request{in.owner, in.id, in.key, in.fingerprint}
}

// add lets others join until leave is called.
func (r *running) add(in *input, f *feed) (leave func()) {
	if f == nil || in.key == "" {
		return func() {}
	}
	req := requestOf(in)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.feeds[req] = f
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.feeds[req] == f { // a repeat may have adopted the turn since
			delete(r.feeds, req)
		}
	}
}

// join finds the turn that an earlier request like this one runs; leave must be
// called when its reader goes. It is nil when there is none here, or when too
// many have joined it.
func (r *running) join(in *input) (f *feed, leave func()) {
	r.mu.Lock()
	f = r.feeds[requestOf(in)]
	r.mu.Unlock()
	if f == nil || in.key == "" {
		return nil, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.joined == maxJoined {
		return nil, nil
	}
	f.joined++
	return f, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.joined--
	}
}
