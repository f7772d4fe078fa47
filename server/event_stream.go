package server

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"parley/server/turn"
	"parley/store"
)

// Bounds of a stream.
const (
	// keepAlive is the longest silence of a stream; then a comment is sent, because
	// proxies close connections that are silent for longer.
	keepAlive = 15 * time.Second
	// writeLimit is how long a client may take to accept one event.
	writeLimit = 20 * time.Second

	keepAliveComment = ":\n\n"
	// reconnectSoon has a browser come back after a second; some wait three.
	reconnectSoon = "retry: 1000\n\n"
)

// The events of a stream: https://html.spec.whatwg.org/multipage/server-sent-events.html
const (
	mimeEvents   = "text/event-stream"
	eventDelta   = "delta"
	eventMessage = "message"
	eventDone    = "done"
	eventError   = "error"
)

// wantsStream reports whether the client asks for server-sent events.
func wantsStream(h http.Header) bool {
	for _, accept := range h.Values("Accept") {
		for part := range strings.SplitSeq(accept, ",") {
			if part == mimeEvents { // as most clients write it
				return true
			}
			media, params, err := mime.ParseMediaType(part)
			if err != nil || media != mimeEvents {
				continue
			}
			if q, err := strconv.ParseFloat(params["q"], 64); err != nil || q > 0 {
				return true
			}
		}
	}
	return false
}

// errGone says that the client no longer accepts what is written.
var errGone = errors.New("server: client is gone or too slow")

// eventStream writes server-sent events. It is used by one goroutine at a time.
type eventStream struct {
	w    http.ResponseWriter
	rc   *http.ResponseController
	open bool // headers are out
	// at is what was written of the feed. An event's id is the position after it.
	at     turn.Position
	remark string // a comment that goes in front of the next event; "" for none
	err    error  // why writing stopped; errGone if the client is the reason
}

func newEventStream(w http.ResponseWriter) *eventStream {
	return &eventStream{w: w, rc: http.NewResponseController(w)}
}

// take writes what the feed has since the last call.
func (e *eventStream) take(f *turn.Feed) (wrote, over bool) {
	after := e.at
	messages, deltas, over := f.News(&after)
	if e.at.Fence != after.Fence {
		e.at = turn.Position{Fence: after.Fence}
	}
	e.rest(messages)
	for _, d := range deltas {
		e.at.Version = d.Version
		e.event(eventDelta, d)
	}
	e.at = after
	return len(messages)+len(deltas) > 0, over
}

// rest writes messages that follow those that were written.
func (e *eventStream) rest(messages []store.Message) {
	for _, m := range messages {
		e.at.Messages++
		e.event(eventMessage, m)
	}
}

// event encodes and writes one event.
func (e *eventStream) event(name string, data any) {
	body, err := turn.EncodeJSON(data)
	e.encoded(name, body, err)
}

// encoded writes one event, or keeps the error of encoding it. Encoded JSON has only the
// line break at its end.
func (e *eventStream) encoded(name string, body []byte, err error) {
	if e.err != nil {
		return
	}
	if err != nil {
		e.err = fmt.Errorf("encode event: %w", err)
		return
	}
	frame := make([]byte, 0, len(body)+128) // has room for all but a long remark
	if e.remark != "" {
		frame = append(append(append(frame, ": "...), e.remark...), '\n')
		e.remark = ""
	}
	frame = append(append(append(frame, "id: "...), e.at.String()...), "\nevent: "...)
	frame = append(append(append(frame, name...), "\ndata: "...), body...)
	e.send(append(frame, '\n'))
}

// send writes and flushes, within writeLimit.
func (e *eventStream) send(b []byte) {
	if e.err != nil {
		return
	}
	if !e.open {
		e.open = true
		h := e.w.Header()
		h.Set("Content-Type", mimeEvents)
		h.Set("X-Accel-Buffering", "no") // else nginx would buffer events
		h.Set("Trailer", "Server-Timing")
		e.w.WriteHeader(http.StatusOK)
	}
	e.deadline(time.Now().Add(writeLimit))
	if _, err := e.w.Write(b); err != nil {
		e.err = errGone
		return
	}
	if err := e.rc.Flush(); err != nil {
		e.err = errGone
	}
}

// end clears the deadline, so that the connection can serve the next request.
func (e *eventStream) end() {
	if e.err == nil {
		e.deadline(time.Time{})
	}
}

// deadline bounds the writes that follow. It ignores errors: a recorder in a test
// has no deadline, and on a dead connection the write itself fails.
func (e *eventStream) deadline(t time.Time) { _ = e.rc.SetWriteDeadline(t) }
