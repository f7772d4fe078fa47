package copilot

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
)

const mimeEvents = "text/event-stream"

// idHeader names the conversation. It is spelled without a second hyphen.
const idHeader = "X-Ms-Conversationid"

// response reads one HTTP response and yields it as events. Errors it makes are
// *Error without Op and Status, which the call adds.
type response struct {
	op    string
	sent  string // id the request went to, empty for a start
	yield func(Event, error) bool

	id      string  // of the conversation; empty until the agent has said it
	held    []Event // what happened before
	stopped bool    // the caller has left the loop

	partials partials
	read     int // activities
	skipped  int // those of them that were bad
}

func protocol(what string) error { return &Error{Kind: ErrProtocol, Cause: errors.New(what)} }

// answer reads a whole response.
func (r *response) answer(resp *http.Response, idle *idleTimer, l Limits) error {
	if id := resp.Header.Get(idHeader); id != "" {
		if err := r.identify(id); err != nil {
			return err
		}
	}
	if resp.StatusCode == http.StatusNoContent {
		return r.finish() // the public SDKs take it as a turn without an answer
	}
	if e := resp.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return protocol("answer is compressed")
	}
	media := resp.Header.Get("Content-Type")
	if media != mimeEvents { // which nearly all write like this
		media, _, _ = mime.ParseMediaType(media)
	}
	body := timedReader{resp.Body, idle}
	switch media {
	case mimeEvents:
		if err := r.stream(newFrameReader(body, l), idle); err != nil || r.stopped {
			return err
		}
		if err := r.finish(); err != nil || r.stopped {
			return err
		}
		if b, ok := resp.Body.(Completer); ok {
			b.Complete()
		}
		drain(resp.Body, idle)
		return nil
	case "application/json":
		return r.document(body, l)
	}
	return protocol("answer is neither an event stream nor JSON")
}

// stream yields events up to the one that ends the turn. What may follow it is
// not read.
func (r *response) stream(frames *frameReader, idle *idleTimer) error {
	for !r.stopped {
		f, err := frames.next()
		if err != nil {
			return err // io.EOF included: the turn was not ended
		}
		idle.event()
		switch {
		case f.name == eventError:
			code, _ := codesOf(f.data)
			return &Error{Kind: ErrServer, Code: code}
		case f.isEnd():
			return nil
		case f.name == eventActivity:
			if err := r.activity(f.data); err != nil {
				return err
			}
		}
	}
	return nil
}

// document yields an answer that came in one piece.
func (r *response) document(body io.Reader, l Limits) error {
	b, err := io.ReadAll(io.LimitReader(body, int64(l.EventBytes)+1))
	if err != nil {
		return err
	}
	if len(b) > l.EventBytes {
		return errEventTooLarge
	}
	var doc struct {
		ConversationID lax[string]     `json:"conversationId"`
		Activities     json.RawMessage `json:"activities"`
	}
	var activities []json.RawMessage
	if json.Unmarshal(b, &doc) != nil || doc.Activities == nil || json.Unmarshal(doc.Activities, &activities) != nil {
		return protocol("JSON answer without activities")
	}
	if len(activities) > l.Events {
		return errTooManyEvents
	}
	if id := doc.ConversationID.v; id != "" {
		if err := r.identify(id); err != nil {
			return err
		}
	}
	for _, raw := range activities {
		if err := r.activity(raw); err != nil || r.stopped {
			return err
		}
	}
	return r.finish()
}

// identify takes the conversation's id, the first time it is heard, and lets
// out what was held back for it.
func (r *response) identify(id string) error {
	if r.id != "" || r.stopped {
		return nil
	}
	if !validID(id) {
		return protocol("conversation id is unsafe")
	}
	r.id = id
	r.emit(Event{Kind: EventConversation, ConversationID: id, Restarted: r.sent != "" && id != r.sent})
	for _, e := range r.held {
		r.emit(e)
	}
	r.held = nil
	return nil
}

// emit yields an event, or holds it back while the id is unknown. Of the
// progress of a text only the newest is held.
func (r *response) emit(e Event) {
	switch n := len(r.held); {
	case r.stopped:
	case r.id != "":
		r.stopped = !r.yield(e, nil)
	case n > 0 && e.Kind == EventDelta && r.held[n-1].Kind == EventDelta && r.held[n-1].StreamID == e.StreamID:
		r.held[n-1] = e
	default:
		r.held = append(r.held, e)
	}
}

// activity yields one activity. One that cannot be read is left out: it must
// not take the rest of the answer with it.
func (r *response) activity(raw []byte) error {
	r.read++
	a, err := decodeActivity(raw)
	if err != nil {
		r.skipped++
		return nil
	}
	if a.conversation != "" {
		if err := r.identify(a.conversation); err != nil {
			return err
		}
	}
	switch {
	case a.isPiece():
		if s, text, more := r.partials.add(&a); more {
			r.emit(Event{Kind: EventDelta, StreamID: s.id, Text: text})
		}
	case a.kind == kindMessage:
		if m, fresh := r.partials.message(&a); fresh {
			r.emit(Event{Kind: EventMessage, Message: m})
		}
	case a.kind == kindEnd:
		r.emit(Event{Kind: EventEnded})
	}
	return nil
}

// finish closes the turn.
func (r *response) finish() error {
	if r.read > 0 && r.read == r.skipped {
		return protocol("no activity could be read")
	}
	if r.id == "" {
		if r.sent == "" {
			return protocol("conversation without id")
		}
		if err := r.identify(r.sent); err != nil {
			return err
		}
	}
	for _, m := range r.partials.unfinished() {
		r.emit(Event{Kind: EventMessage, Message: m})
	}
	return nil
}

// Completer is a body that a transport has put around that of a response, and that
// wants to know when the stream in it has come to its end, which is before the body's.
// What becomes of the connection after that says nothing about the answer.
type Completer interface{ Complete() }

// Bounds of drain.
const (
	maxDrain  = 4 << 10
	drainTime = 50 * time.Millisecond
)

// drain reads on to the end of the response, so that its connection can be used
// again, unless that takes long.
func drain(body io.Reader, idle *idleTimer) {
	t := time.AfterFunc(drainTime, func() { idle.cancel(nil) })
	defer t.Stop()
	_, _ = io.CopyN(io.Discard, body, maxDrain) // only a try
}
