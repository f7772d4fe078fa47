package server

import (
	"errors"
	"net/http"
	"sync"
	"time"
)

// errCutOff is the error of writing an answer whose place went to another.
var errCutOff = errors.New("server: the answer was cut off")

// responseWriter writes the answer to one request and owns what is known of it: whether
// it has begun, whether all of it was taken, whether it is complete. So nobody writes
// a second answer behind a first, and no part of one passes for the whole. It can be
// cut off.
//
// Its fields belong to the goroutine that writes, and to the adapter when the handler
// is over.
type responseWriter struct {
	http.ResponseWriter
	status int // 0 while nothing was written
	// complete says that the client was given all of the answer. If the request failed,
	// the answer tells it.
	complete bool
	err      error       // of the first write that failed
	draining func() bool // whether clients should go elsewhere; nil for never

	mu  sync.Mutex
	cut bool
}

// begun reports whether the answer has begun. Then its status is out, and a failure
// can no longer be answered with another.
func (w *responseWriter) begun() bool { return w.status != 0 }

// failed keeps the first error of writing.
func (w *responseWriter) failed(err error) error {
	if w.err == nil {
		w.err = err
	}
	return err
}

// WriteHeader implements http.ResponseWriter.
func (w *responseWriter) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
		if w.draining != nil && w.draining() {
			w.Header().Set("Connection", "close") // net/http makes it a GOAWAY on HTTP/2
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *responseWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	n, err := w.ResponseWriter.Write(b)
	return n, w.failed(err)
}

// FlushError is for http.ResponseController. Writers in tests may have nothing to flush.
func (w *responseWriter) FlushError() error {
	err := http.NewResponseController(w.ResponseWriter).Flush()
	if errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return w.failed(err)
}

// SetWriteDeadline is for http.ResponseController. It does not bring back an
// answer that was cut off.
func (w *responseWriter) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		return w.failed(errCutOff)
	}
	return http.NewResponseController(w.ResponseWriter).SetWriteDeadline(t)
}

// cutOff ends the writing of the answer, from any goroutine, while the handler runs.
func (w *responseWriter) cutOff() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = true
	_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Unix(1, 0))
}

// Unwrap is for http.ResponseController.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

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
