package server

import (
	"context"
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
	// keepAlive is how long a stream is silent at most. Proxies take a longer
	// silence for the end.
	keepAlive = 15 * time.Second
	// writeLimit is how long a client may take for one event.
	writeLimit = 20 * time.Second

	keepAliveComment = ":\n\n"
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

// stream runs a turn and writes what it says while it runs, or joins the one that
// an earlier request with the same key runs. Until the first event a failure is
// answered as any other; after it, as the last event.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, req *turn.Request) error {
	x, out := of(r), &eventStream{w: w, rc: http.NewResponseController(w)}
	a, err := s.streamOwn(r, req, out)
	if errors.Is(err, store.ErrBusy) {
		if earlier, leave := s.turns.Join(req); earlier != nil {
			defer leave()
			x.joined = true
			if a, x.Stage, err = streamJoined(r.Context(), earlier, out); out.err != nil {
				err = r.Context().Err() // it went before it heard how the turn ended
			}
		}
	}
	if err != nil && !out.open {
		return err
	}
	return s.lastEvent(out, r, a, err)
}

// streamOwn runs a turn and writes what it says as it comes. The turn waits for no
// reader, so the reader is served beside it, and to the end even when the client
// seems gone: one that closed only its own half of the connection still listens.
func (s *Server) streamOwn(r *http.Request, req *turn.Request, out *eventStream) (turn.Answer, error) {
	f := &turn.Feed{}
	writer := newStreamWriter(out, f)
	defer writer.stop()
	return s.turns.Run(r.Context(), &of(r).Progress, req, f)
}

// streamJoined writes what the turn of another request says, until the turn is
// over or this client is gone. It then gives what the turn came to.
func streamJoined(ctx context.Context, f *turn.Feed, out *eventStream) (turn.Answer, turn.Stage, error) {
	writer := newStreamWriter(out, f)
	defer writer.stop()
	select {
	case <-writer.ended:
	case <-ctx.Done():
		writer.abandon()
	}
	return f.Outcome()
}

// lastEvent ends a stream with what the turn came to. The error is what the log
// is told.
func (s *Server) lastEvent(out *eventStream, r *http.Request, a turn.Answer, err error) error {
	x, w := of(r), out.w
	x.streamed = true
	if err != nil {
		out.event(eventError, s.problemOf(r, err))
	} else {
		if a.Replayed {
			w.Header().Set("Idempotency-Replayed", "true")
		}
		out.rest(a.Messages) // of a replay, all
		out.event(eventDone, chatAnswerOf(a))
	}
	s.timing(w, x) // as a trailer
	out.end()
	// The last event tells of the failure. Whatever kept it from the client must
	// not let what it got pass for the whole.
	x.told = out.err == nil
	if x.cut = out.err != nil; err == nil && !errors.Is(out.err, errGone) {
		err = out.err
	}
	return err
}

// errGone says that a client no longer takes what is written.
var errGone = errors.New("server: client is gone or too slow")

// eventStream writes server-sent events. It is used by one goroutine at a time.
type eventStream struct {
	w    http.ResponseWriter
	rc   *http.ResponseController
	open bool          // headers are out
	at   turn.Position // in the feed that is written
	err  error         // why nothing is written any more; errGone is the client's doing
}

// take writes what is new in a feed.
func (e *eventStream) take(f *turn.Feed) (wrote, over bool) {
	messages, deltas, over := f.News(&e.at)
	for _, m := range messages {
		e.event(eventMessage, m)
	}
	for _, d := range deltas {
		e.event(eventDelta, d)
	}
	return len(messages)+len(deltas) > 0, over
}

// rest writes those of a turn's messages that were not written yet.
func (e *eventStream) rest(messages []store.Message) {
	for _, m := range messages[e.at.Messages:] {
		e.event(eventMessage, m)
	}
}

// event writes one event. Encoded JSON has no line break but the one at its end.
func (e *eventStream) event(name string, data any) {
	if e.err != nil {
		return
	}
	body, err := turn.EncodeJSON(data)
	if err != nil {
		e.err = fmt.Errorf("encode event: %w", err)
		return
	}
	e.send(fmt.Appendf(nil, "event: %s\ndata: %s\n", name, body))
}

// send writes and flushes within the time that a client has for it.
func (e *eventStream) send(b []byte) {
	if e.err != nil {
		return
	}
	if !e.open {
		e.open = true
		h := e.w.Header()
		h.Set("Content-Type", mimeEvents)
		h.Set("X-Accel-Buffering", "no") // else nginx would keep events back
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

// end gives the connection back for the next request.
func (e *eventStream) end() {
	if e.err == nil {
		e.deadline(time.Time{})
	}
}

// deadline bounds the writes that follow. Without a connection below, as behind
// a recorder, there is nothing to bound; a dead one fails the write itself.
func (e *eventStream) deadline(t time.Time) { _ = e.rc.SetWriteDeadline(t) }
