package server

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"parley/server/copilot"
	"parley/server/turn"
	"parley/store"
)

// requestError is a failure whose answer says more than its row in the table.
type requestError struct {
	kind   error  // a sentinel
	field  string // the field of the request that is at fault, or ""
	detail string // public; "" for the row's own
	header http.Header
}

// Error implements error.
func (e *requestError) Error() string {
	if e.detail == "" {
		return e.kind.Error()
	}
	return fmt.Sprintf("%v: %s", e.kind, e.detail)
}

// Unwrap gives the sentinel.
func (e *requestError) Unwrap() error { return e.kind }

// invalid is a 400 that names the field and says what is wrong with it. The
// sentence must not repeat what the caller sent.
func invalid(field, sentence string) error {
	return &requestError{kind: errInvalid, field: field, detail: field + " " + sentence + "."}
}

// problem is the body of every failure, after RFC 9457. The front end reads
// error, everybody else class; they are the same.
type problem struct {
	Type         string `json:"type"`
	Title        string `json:"title"`
	Status       int    `json:"status"`
	Detail       string `json:"detail"`
	Class        string `json:"class"`
	Error        string `json:"error"`
	Retryable    bool   `json:"retryable"`
	TraceID      string `json:"traceId"`
	Conversation string `json:"conversationId,omitempty"`
	Field        string `json:"field,omitempty"`
	Turn         *int   `json:"turn,omitempty"` // the one that runs
}

// problemOf says what a client is told of a failure.
func (s *Server) problemOf(r *http.Request, err error) problem {
	x, f := of(r), s.failureOf(r, err)
	p := problem{
		Type: "urn:parley:problem:" + f.Class, Title: f.Title, Status: f.Status, Detail: f.Detail,
		Class: f.Class, Error: f.Class, Retryable: f.Retryable, TraceID: x.traceID, Conversation: x.Conversation,
	}
	if e, ok := errors.AsType[*requestError](err); ok {
		if e.detail != "" {
			p.Detail = e.detail
		}
		p.Field = e.field
	}
	if e, ok := errors.AsType[*store.BusyError](err); ok {
		p.Turn = &e.Turn
	}
	return p
}

// problem answers a failure and returns it for the log. Nothing of the error's
// own text is in the answer, only what this package wrote itself.
func (s *Server) problem(w http.ResponseWriter, r *http.Request, err error) error {
	f := s.failureOf(r, err)
	if f.Status == statusClientClosed {
		// Nobody is there to read it. A status all the same: without one net/http
		// would send an empty 200, and a client that closed only its own half of
		// the connection would take that for an answer.
		w.WriteHeader(f.Status)
		return err
	}
	if e, ok := errors.AsType[*requestError](err); ok {
		for name, values := range e.header {
			w.Header()[name] = values
		}
	}
	if after := retryAfter(f, of(r).Stage, err); after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(after))
	}
	body, encErr := turn.EncodeJSON(s.problemOf(r, err))
	if encErr != nil {
		return errors.Join(err, encErr) // cannot happen: it is made of strings
	}
	s.write(w, r, f.Status, "application/problem+json", body)
	return err
}

// retryAfter is how many seconds a caller should wait, 0 for no advice.
func retryAfter(f *Failure, stage turn.Stage, err error) int {
	if !f.Retryable {
		return 0
	}
	if e, ok := errors.AsType[*copilot.Error](err); ok {
		return wholeSeconds(e.RetryAfter) // only a throttled agent says
	}
	switch f.Status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusConflict:
		after := 1
		if e, ok := errors.AsType[*store.BusyError](err); ok {
			after = max(after, wholeSeconds(e.RetryAfter))
		}
		if f.origin == ofStore && stage == turn.StageComplete {
			after = wholeSeconds(store.LeaseTime) // the turn is held until then
		}
		return after
	}
	return 0
}

// wholeSeconds rounds up: a caller that came back early would only be told to
// wait again.
func wholeSeconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }
