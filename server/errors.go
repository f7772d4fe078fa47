package server

import (
	"errors"
	"fmt"
	"net/http"
)

// Failures that begin in this package.
var (
	errInvalid   = errors.New("server: invalid request")
	errForbidden = errors.New("server: not allowed")
	errNoRoute   = errors.New("server: no such route")
	errMethod    = errors.New("server: method not allowed")
	errTooLarge  = errors.New("server: body too large")
	errMediaType = errors.New("server: unsupported media type")
)

// requestError is a failure whose answer adds something to its row in the table.
type requestError struct {
	kind   error  // a sentinel
	field  string // the field of the request that is at fault, or ""
	detail string // public; "" for the row's own
	header http.Header
	reason Reason // one of Reasons, or ""
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
func invalid(reason Reason, field, sentence string) error {
	return &requestError{kind: errInvalid, reason: reason, field: field, detail: field + " " + sentence + "."}
}
