package server

import (
	"context"
	"errors"
	"net/http"

	"parley/server/turn"
	"parley/store"
)

// stream runs a turn and writes what it says while it runs, or joins the one that
// an earlier request with the same key runs. Until the first event a failure is
// answered as any other; after it, as the last event.
func (c *chatRoutes) stream(w http.ResponseWriter, r *http.Request, req *turn.Request) error {
	x, out := of(r), &eventStream{w: w, rc: http.NewResponseController(w)}
	a, err := c.streamOwn(r, req, out)
	if errors.Is(err, store.ErrBusy) {
		if earlier, leave := c.turns.Join(req); earlier != nil {
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
	return lastEvent(out, r, a, err)
}

// streamOwn runs a turn and writes what it says as it comes. The turn waits for no
// reader, so the reader is served beside it, and to the end even when the client
// seems gone: one that closed only its own half of the connection still listens.
func (c *chatRoutes) streamOwn(r *http.Request, req *turn.Request, out *eventStream) (turn.Answer, error) {
	f := &turn.Feed{}
	writer := newStreamWriter(out, f)
	defer writer.stop()
	return c.turns.Run(r.Context(), &of(r).Progress, req, f)
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
