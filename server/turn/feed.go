package turn

import (
	"slices"
	"sync"

	"parley/store"
)

// Feed is what a running turn has said so far, for everybody who streams it.
// A reader has a position of its own and takes what is new to it, so a slow one
// holds nothing back and costs no memory: it misses states of texts that are
// still being written, never a message.
type Feed struct {
	mu        sync.Mutex
	messages  []store.Message
	writing   []Delta // texts whose message is yet to come
	version   int     // of the newest delta
	listeners []*func()
	joined    int

	over   bool
	answer Answer
	err    error
	stage  Stage // where err happened
}

// Delta is all that has been written so far of a message that is not yet whole.
type Delta struct {
	Message string `json:"messageId"`
	Text    string `json:"text"`
	version int
}

// Position is how far a reader of a feed has come.
type Position struct {
	Messages int // whole ones that it has
	version  int
}

// write says how far a message has come. A nil feed, here and in say, is that of a
// greeting which is no part of the answer.
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

// say adds messages that are whole. The text of the message called written, if
// there is one, is no longer being written.
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

// end says what the turn came to. Nothing may follow.
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

// Listen has wake called at every change until leave is. Wake must neither block
// nor use the feed.
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

// News gives what is new to a reader and moves its position: whole messages first,
// then how far the others have come. After it has said that the turn is over,
// nothing more comes.
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

// outcome is what the turn came to, once it is over.
func (f *Feed) outcome() (a Answer, stage Stage, over bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answer, f.stage, f.over, f.err
}
