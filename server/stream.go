package server

import (
	"cmp"
	"errors"
	"net/http"

	"parley/server/turn"
)

// stream runs a turn and streams it. The turn never waits for its reader. The stream
// goes on when the request's context is canceled, because a client that closed only
// its own half of the connection still reads. A failure before the first event is
// answered like any other; a later one is the last event.
func (c *chatRoutes) stream(w http.ResponseWriter, r *http.Request, req *turn.Request) error {
	out := newEventStream(w)
	a, err := c.turns.Run(r.Context(), &of(r).Progress, req, func(f *turn.Feed) (stop func()) {
		return newStreamWriter(out, f).stop
	})
	return endStream(out, r, a, err)
}

// endStream ends a stream, or answers the failure of one that has not begun.
func endStream(out *eventStream, r *http.Request, a turn.Answer, err error) error {
	x := of(r)
	if x.Joined && r.Context().Err() != nil {
		out.err, err = errGone, r.Context().Err() // the client left before the turn ended
	}
	if err != nil && !x.answer.begun() {
		return err
	}
	return lastEvent(out, r, a, err)
}

// lastEvent ends a stream with the turn's outcome. It returns the error for the
// log.
func lastEvent(out *eventStream, r *http.Request, a turn.Answer, err error) error {
	x, w := of(r), out.w
	x.streamed = true
	if err != nil {
		out.remark = "server-timing " + serverTiming(x)
		out.event(eventError, problemOf(r, err))
	} else {
		if a.Replayed {
			w.Header().Set("Idempotency-Replayed", "true")
		}
		out.rest(a.Messages[min(out.at.Messages, len(a.Messages)):]) // for a replay, all of them
		out.remark = "server-timing " + serverTiming(x)
		body, encErr := encodeAnswer(a)
		out.encoded(eventDone, body, encErr)
	}
	timing(w, x) // as a trailer
	out.end()
	// The last event reports the failure. If it could not be written, the answer is not
	// complete, and the client sees that.
	x.answer.complete = out.err == nil
	if errors.Is(out.err, errGone) {
		return err
	}
	if _, ours := errors.AsType[*turn.PanicError](out.err); ours && err != nil {
		return errors.Join(err, out.err) // so that the log has its stack
	}
	return cmp.Or(err, out.err)
}
