package turn

import (
	"slices"
	"sync"

	"parley/store"
)

// Feed has what a running turn has said so far, for everybody who streams it. Each
// reader has its own position and takes what is new to it. So a slow reader delays
// nobody and costs no memory. It misses deltas, never a message.
type Feed struct {
	mu        sync.Mutex
	messages  []store.Message
	writing   []Delta // of messages that are not complete yet
	version   int     // of the newest delta
	listeners []*func()
	joined    int

	over   bool
	answer Answer
	err    error
	stage  Stage // where err happened
}

// Delta is the text so far of a message that is not complete yet.
type Delta struct {
	Message string `json:"messageId"`
	Text    string `json:"text"`
	version int
}

// Position is how much of a feed a reader has taken.
type Position struct {
	Messages int // number of messages taken
	version  int
}

// write sets the text so far of a message. Here and in say, f is nil for a greeting
// that is not part of the answer.
func (f *Feed) write(message, text string) {
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
	f.writing = append(f.writing, Delta{Message: message, Text: text, version: f.version})
}

// say adds complete messages. The delta with id written, if there is one, is done.
func (f *Feed) say(written string, messages []store.Message) {
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

// end sets the turn's outcome. It is the last call.
func (f *Feed) end(a Answer, err error, stage Stage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over, f.answer, f.err, f.stage = true, a, err, stage
	f.change()
}

// change wakes the readers.
func (f *Feed) change() {
	for _, wake := range f.listeners {
		(*wake)()
	}
}

// Listen calls wake at every change, until leave is called. wake must not block and
// must not use the feed.
func (f *Feed) Listen(wake func()) (leave func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listeners = append(f.listeners, &wake)
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.listeners = slices.DeleteFunc(f.listeners, func(l *func()) bool { return l == &wake })
	}
}

// News returns what is new to a reader and moves its position: complete messages
// first, then deltas. After it has reported that the turn is over, nothing follows.
func (f *Feed) News(at *Position) (messages []store.Message, deltas []Delta, over bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	messages = f.messages[at.Messages:]
	for _, d := range f.writing {
		if d.version > at.version {
			deltas = append(deltas, d)
		}
	}
	at.Messages, at.version = len(f.messages), f.version
	return messages, deltas, f.over
}

// outcome is the turn's outcome, once it is over.
func (f *Feed) outcome() (a Answer, stage Stage, over bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answer, f.stage, f.over, f.err
}
