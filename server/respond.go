package server

import (
	"fmt"
	"net/http"
	"time"

	"parley/server/turn"
)

// respond writes one JSON answer. The status goes out only when the body is
// known to encode, so that a failure to encode can still be a proper answer.
func respond(w http.ResponseWriter, r *http.Request, status int, v any) error {
	body, err := turn.EncodeJSON(v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	write(w, r, status, "application/json", body)
	return nil
}

// write sends headers and body. An error of the connection is the client's
// leaving, and there is nobody left to tell.
func write(w http.ResponseWriter, r *http.Request, status int, mime string, body []byte) {
	x := of(r)
	w.Header().Set("Content-Type", mime)
	timing(w, x)
	readWithin(w, answerTime)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// answerTime is how long a client may take to read an answer, and fileTime for a
// file of the front end.
const (
	answerTime = time.Minute
	fileTime   = 5 * time.Minute
)

// readWithin ends the connection of a client that does not read its answer; it
// would hold the answer's memory for as long as it likes. The server lifts the
// limit when the request is over. Writers in tests have no such limit.
func readWithin(w http.ResponseWriter, limit time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(limit))
}

// timing tells the client where its time went.
func timing(w http.ResponseWriter, x *exchange) {
	w.Header().Set("Server-Timing", fmt.Sprintf("store;dur=%.1f, upstream;dur=%.1f", millis(x.Store), millis(x.Upstream)))
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// isoTime is ISO 8601 in UTC with milliseconds.
func isoTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
