package server

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"parley/server/turn"
)

// respond writes one JSON answer. It encodes the body before it sends the status,
// so that a failure to encode can still be answered with 500.
func respond(w http.ResponseWriter, r *http.Request, status int, v any) error {
	body, err := turn.EncodeJSON(v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	return respondEncoded(w, r, status, body)
}

// respondEncoded writes one JSON answer that is encoded already.
func respondEncoded(w http.ResponseWriter, r *http.Request, status int, body []byte) error {
	if err := of(r).reserved.forAnswer(r.Context(), len(body)); err != nil {
		return err
	}
	write(w, r, status, mimeJSON, body)
	return nil
}

// write sends headers and body. It ignores write errors: the client is gone.
func write(w http.ResponseWriter, r *http.Request, status int, mime string, body []byte) {
	x := of(r)
	setAll(w.Header(), []header{{"Content-Type", mime}, {"Server-Timing", serverTiming(x)}, {"Content-Length", strconv.Itoa(len(body))}})
	w.WriteHeader(status)
	if _, err := (steadily{w}).Write(body); err == nil {
		flush(w)
		x.answer.complete = x.answer.err == nil
	}
}

// timing sets Server-Timing: the milliseconds spent in the store and upstream.
func timing(w http.ResponseWriter, x *exchange) {
	w.Header().Set("Server-Timing", serverTiming(x))
}

func serverTiming(x *exchange) string {
	text := strconv.AppendFloat(append(make([]byte, 0, 64), "store;dur="...), millis(x.Store), 'f', 1, 64)
	return string(strconv.AppendFloat(append(text, ", upstream;dur="...), millis(x.Upstream), 'f', 1, 64))
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// isoLayout is ISO 8601 with milliseconds, of times in UTC.
const isoLayout = "2006-01-02T15:04:05.000Z"

func isoTime(t time.Time) string { return t.UTC().Format(isoLayout) }
