package server

import (
	"net/http"

	"parley/server/turn"
)

// resume streams the turn that runs in a conversation, on whichever instance, from
// the position that Last-Event-ID names on. The stream begins at once, so that a
// browser's EventSource, which gives up at any status but 200, is not lost to a
// failure that comes later.
func (c *chatRoutes) resume(w http.ResponseWriter, r *http.Request) error {
	x, id, err := conversationInPath(r)
	if err != nil {
		return err
	}
	out := newEventStream(w)
	out.at = turn.ParsePosition(r.Header.Get("Last-Event-Id"))
	a, found, err := c.turns.Attach(r.Context(), &x.Progress, x.owner, id, func(f *turn.Feed) (stop func()) {
		out.send([]byte(reconnectSoon))
		return newStreamWriter(out, f).stop
	})
	if !found && err == nil {
		timing(w, x)
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return endStream(out, r, a, err)
}

// stopped is the body of a stop.
type stopped struct {
	Conversation string `json:"conversationId"`
	Turn         int    `json:"turn"`
	Stopped      bool   `json:"stopped"`
}

// stop ends the turn that runs in a conversation, on whichever instance.
func (c *chatRoutes) stop(w http.ResponseWriter, r *http.Request) error {
	x, id, err := conversationInPath(r)
	if err != nil {
		return err
	}
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	if len(body) > 0 {
		if _, err := parseBody(body); err != nil {
			return err
		}
	}
	number, running, err := c.turns.Stop(r.Context(), &x.Progress, x.owner, id)
	if err != nil {
		return err
	}
	if !running {
		timing(w, x)
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return respond(w, r, http.StatusOK, stopped{Conversation: id, Turn: number, Stopped: true})
}
