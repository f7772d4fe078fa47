package server

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"parley/server/auth"
	"parley/server/copilot"
	"parley/server/turn"
	"parley/store"
)

// problem is the body of every failure (RFC 9457). error is for the existing front
// end and always equals class; message is what a front end can show its user.
type problem struct {
	Type         string `json:"type"`
	Title        string `json:"title"`
	Status       int    `json:"status"`
	Detail       string `json:"detail"`
	Class        string `json:"class"`
	Error        string `json:"error"`
	Message      string `json:"message"`
	Retryable    bool   `json:"retryable"`
	TraceID      string `json:"traceId"`
	Conversation string `json:"conversationId,omitempty"`
	Field        string `json:"field,omitempty"`
	// Reason says why a caller is not signed in (401).
	Reason auth.Reason `json:"reason,omitempty"`
	Turn   *int        `json:"turn,omitempty"` // the one that is running
	Stage  turn.Stage  `json:"stage,omitempty"`
}

// problemOf makes the body for a failure.
func problemOf(r *http.Request, err error) problem {
	x, f := of(r), failureOf(r, err)
	p := problem{
		Type: "urn:parley:problem:" + f.Class, Title: f.Title, Status: f.Status, Detail: f.Detail,
		Class: f.Class, Error: f.Class, Message: f.Message, Retryable: f.Retryable, TraceID: x.traceID(), Conversation: x.Conversation,
		Stage: x.Stage,
	}
	if e, ok := errors.AsType[*requestError](err); ok {
		if e.detail != "" {
			p.Detail = e.detail
		}
		p.Field = e.field
		if f.Class == classUnauthenticated {
			p.Reason = auth.Reason(e.reason) // who is refused for another cause finds it in detail
		}
	}
	if e, ok := errors.AsType[*store.BusyError](err); ok && e.Turn > 0 {
		p.Turn = &e.Turn
	}
	return p
}

// writeProblem answers a failure and returns it for the log. The answer has only
// texts of this package, never the error's own. A client that has left is answered
// nothing: the adapter cuts its connection, so that one which closed only its own half
// does not take an empty answer for a whole one.
func writeProblem(w http.ResponseWriter, r *http.Request, err error) error {
	f := failureOf(r, err)
	if f.Status == statusClientClosed {
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
	body, encErr := turn.EncodeJSON(problemOf(r, err))
	if encErr != nil {
		return errors.Join(err, encErr) // cannot happen: a problem always encodes
	}
	write(w, r, f.Status, "application/problem+json", body)
	return err
}

// retryAfter is how many seconds a caller should wait, 0 for no advice.
func retryAfter(f *Failure, stage turn.Stage, err error) int {
	if !f.Retryable {
		return 0
	}
	if e, ok := errors.AsType[*copilot.Error](err); ok && f.origin == ofAgent {
		return wholeSeconds(e.RetryAfter) // only a throttled agent says, and who gives us tokens
	}
	switch f.Status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusConflict:
		after := 1
		if e, ok := errors.AsType[*store.BusyError](err); ok {
			after = max(after, wholeSeconds(e.RetryAfter))
		}
		if e, ok := errors.AsType[*auth.UnavailableError](err); ok {
			after = max(after, wholeSeconds(e.RetryAfter))
		}
		if f.origin == ofStore && stage == turn.StageComplete {
			after = wholeSeconds(store.LeaseTime) // the turn is held until then
		}
		return after
	}
	return 0
}

// wholeSeconds rounds up, so that a caller who waits that long is not too early.
func wholeSeconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }
