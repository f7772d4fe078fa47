package server

import (
	"errors"
	"net/http"

	"parley/server/turn"
)

// stream runs a turn and writes what it says while it runs. The turn waits for no
// reader, so the reader is served beside it, and to the end even when the client
// seems gone: one that closed only its own half of the connection still listens.
// Until the first event a failure is answered as any other; after it, as the last
// event.
func (c *chatRoutes) stream(w http.ResponseWriter, r *http.Request, req *turn.Request) error {
	x, out := of(r), &eventStream{w: w, rc: http.NewResponseController(w)}
	a, err := c.turns.Run(r.Context(), &x.Progress, req, func(f *turn.Feed) (stop func()) {
		return newStreamWriter(out, f).stop
	})
	if x.Joined && r.Context().Err() != nil {
		out.err, err = errGone, r.Context().Err() // it went before it heard how the turn ended
	}
	if err != nil && !out.open {
		return err
	}
	return lastEvent(out, r, a, err)
}

// lastEvent ends a stream with what the turn came to. The error is what the log
// is told.
func lastEvent(out *eventStream, r *http.Request, a turn.Answer, err error) error {
	x, w := of(r), out.w
	x.streamed = true
	if err != nil {
		out.event(eventError, problemOf(r, err))
	} else {
		if a.Replayed {
			w.Header().Set("Idempotency-Replayed", "true")
		}
		out.rest(a.Messages) // of a replay, all
		out.event(eventDone, chatAnswerOf(a))
	}
	timing(w, x) // as a trailer
	out.end()
	// The last event tells of the failure. Whatever kept it from the client must
	// not let what it got pass for the whole.
	x.told = out.err == nil
	if x.cut = out.err != nil; err == nil && !errors.Is(out.err, errGone) {
		err = out.err
	}
	return err
}
