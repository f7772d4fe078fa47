package turn

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"parley/store"
)

// Feed has what a running turn has said so far, for everybody who streams it. Each
// reader has its own position and takes what is new to it. So a slow reader delays
// nobody and costs no memory. It misses deltas, never a message.
//
// A turn of another instance has a Feed as well, which a mirror fills.
type Feed struct {
	mu        sync.Mutex
	fence     int64 // of the turn
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
	Version int    `json:"-"` // higher for a later delta of the turn
}

// Position is how much of a turn a reader has taken. It means the same on every
// instance.
type Position struct {
	Fence    int64 // of the turn; higher for every turn of a conversation, and when one is taken over
	Messages int   // number of messages taken
	Version  int   // of the newest delta taken
}

// String is the position as the id of an event.
func (p Position) String() string {
	text := strconv.AppendInt(make([]byte, 0, 32), p.Fence, 10)
	text = strconv.AppendInt(append(text, '-'), int64(p.Messages), 10)
	return string(strconv.AppendInt(append(text, '-'), int64(p.Version), 10))
}

// ParsePosition reads what String wrote. Anything else is the beginning.
func ParsePosition(s string) Position {
	var p Position
	if n, err := fmt.Sscanf(s, "%d-%d-%d", &p.Fence, &p.Messages, &p.Version); n != 3 || err != nil || p.String() != s || p.Messages < 0 || p.Version < 0 {
		return Position{}
	}
	return p
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
			f.writing[i].Text, f.writing[i].Version = text, f.version
			return
		}
	}
	f.writing = append(f.writing, Delta{Message: message, Text: text, Version: f.version})
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

// cut ends the texts that are being written where they are, and returns them as
// messages with the ids that their deltas had.
func (f *Feed) cut(turn int) []store.Message {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var cut []store.Message
	for _, d := range f.writing {
		if strings.TrimSpace(d.Text) == "" {
			continue
		}
		cut = append(cut, store.Message{
			ID: d.Message, Turn: turn, Role: store.RoleAssistant, Kind: store.KindText, Text: d.Text, Stopped: true,
		})
	}
	f.writing = nil
	f.messages = append(f.messages, cut...)
	f.change()
	return cut
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
// first, then deltas in the order of their versions. A reader that comes from another
// instance may be ahead of this feed. After News has reported that the turn is over,
// nothing follows.
func (f *Feed) News(at *Position) (messages []store.Message, deltas []Delta, over bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at.Fence != f.fence {
		*at = Position{Fence: f.fence}
	}
	messages = f.messages[min(at.Messages, len(f.messages)):]
	for _, d := range f.writing {
		if d.Version > at.Version {
			deltas = append(deltas, d)
		}
	}
	slices.SortFunc(deltas, func(a, b Delta) int { return cmp.Compare(a.Version, b.Version) })
	at.Messages, at.Version = max(at.Messages, len(f.messages)), max(at.Version, f.version)
	return messages, deltas, f.over
}

// outcome is the turn's outcome, once it is over.
func (f *Feed) outcome() (a Answer, stage Stage, over bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answer, f.stage, f.over, f.err
}

// silent reports whether nothing was said yet.
func (f *Feed) silent() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.messages)+len(f.writing) == 0
}

// join counts one more reader, unless there are MaxJoined.
func (f *Feed) join() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.joined == MaxJoined {
		return false
	}
	f.joined++
	return true
}

// leave is the opposite of join. It reports whether that was the last reader.
func (f *Feed) leave() (last bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.joined--
	return f.joined == 0
}

// followed reports whether anybody has joined.
func (f *Feed) followed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.joined > 0
}
