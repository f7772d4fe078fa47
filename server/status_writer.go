package server

import (
	"errors"
	"net/http"
	"sync"
	"time"
)

// errCutOff is the error of writing an answer whose place went to another.
var errCutOff = errors.New("server: the answer was cut off")

// statusWriter remembers the status that was sent, and can be cut off.
type statusWriter struct {
	http.ResponseWriter
	status   int         // 0 while nothing was written
	draining func() bool // whether clients should go elsewhere; nil for never

	mu  sync.Mutex
	cut bool
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
		if w.draining != nil && w.draining() {
			w.Header().Set("Connection", "close") // net/http makes it a GOAWAY on HTTP/2
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// SetWriteDeadline is for http.ResponseController. It does not bring back an
// answer that was cut off.
func (w *statusWriter) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		return errCutOff
	}
	return http.NewResponseController(w.ResponseWriter).SetWriteDeadline(t)
}

// cutOff ends the writing of the answer, from any goroutine, while the handler runs.
func (w *statusWriter) cutOff() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = true
	_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Unix(1, 0))
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// partSize is how much of an answer a client gets answerTime to read, in bytes.
const partSize = 64 << 10

// answerTime is how long a client may take to read a part of an answer.
const answerTime = 10 * time.Second

// steadily writes an answer part by part, and gives up a client that does not go
// on reading. It would hold the answer's memory, and its place, for as long as it
// likes. The server lifts the limit when the request is over.
type steadily struct{ http.ResponseWriter }

// Write implements http.ResponseWriter.
func (s steadily) Write(b []byte) (written int, err error) {
	for {
		part := b[written:min(len(b), written+partSize)]
		if err := readWithin(s.ResponseWriter, answerTime); errors.Is(err, errCutOff) {
			return written, err
		}
		n, err := s.ResponseWriter.Write(part)
		if written += n; err != nil || written == len(b) {
			return written, err
		}
	}
}

// Unwrap is for http.ResponseController.
func (s steadily) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// readWithin sets the time by which the client has to read what is written next.
// Writers in tests have no such limit.
func readWithin(w http.ResponseWriter, limit time.Duration) error {
	return http.NewResponseController(w).SetWriteDeadline(time.Now().Add(limit))
}

// flush sends what is left of an answer. Left to the server, it would be sent when
// the handler is over and the request's place is given to another.
func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }
