package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// What a caller did, or what the conversation is. None of these says that the
// store is unwell.
var (
	ErrNotFound = errors.New("store: no such conversation")
	ErrClosed   = errors.New("store: conversation is closed")
	ErrBusy     = errors.New("store: another turn is running")
	ErrMismatch = errors.New("store: idempotency key was used for another request")
	ErrStale    = errors.New("store: turn has been taken over")
	ErrCursor   = errors.New("store: not a cursor of this list")
)

// Why the store could not do what it was asked. Each is the Kind of an *Error.
var (
	ErrUnreachable   = errors.New("store: unreachable")
	ErrTimeout       = errors.New("store: no answer in time")
	ErrPoolExhausted = errors.New("store: no connection free")
	ErrAuth          = errors.New("store: credentials refused")
	ErrNotReady      = errors.New("store: not ready")
	ErrReadOnly      = errors.New("store: takes no writes")
	ErrFull          = errors.New("store: out of memory")
	ErrProtocol      = errors.New("store: answer not understood")
	ErrRejected      = errors.New("store: command refused")
	ErrCorrupt       = errors.New("store: record does not decode")
)

// BusyError says that another turn holds the conversation. It matches ErrBusy.
type BusyError struct {
	Turn       int           // the number of the turn that runs
	RetryAfter time.Duration // until its lease would lapse; at most LeaseTime
}

// Error implements error.
func (e *BusyError) Error() string { return fmt.Sprintf("%v (turn %d)", ErrBusy, e.Turn) }

// Unwrap makes errors.Is(err, ErrBusy) true.
func (e *BusyError) Unwrap() error { return ErrBusy }

// Error is an outage: Kind says which. The foreign cause is kept for the log
// but not unwrapped: a network error of the store's and the same error of the
// agent's would otherwise be told apart by luck, and a deadline inside a
// connection would pass for the caller's own.
type Error struct {
	Op   string // the Store method
	Kind error  // one of the outage errors above
	Code string // prefix of a RESP error reply, e.g. "OOM"; else empty
	// Reason says more than Kind, for operators, in fixed words of the store's
	// own, e.g. "connection refused"; may be empty.
	Reason string
	Cause  error // what the client library said; may name hosts, never shown to a client
}

// Transient reports whether the same call can succeed later although nobody
// changes it: Redis may be reached, be loaded, take writes or have memory again,
// and credentials that are being replaced may be accepted. It is false for a
// refusal for good: a command that the store's user may not run, a write that is
// larger than Redis accepts, an answer that is not understood, a record that does
// not decode, and any error that nobody foresaw. Repeating such a call keeps a
// caller waiting for what will not happen.
func (e *Error) Transient() bool {
	if errors.Is(e.Kind, ErrAuth) {
		return e.Code != "NOPERM"
	}
	for _, passing := range []error{ErrUnreachable, ErrTimeout, ErrPoolExhausted, ErrNotReady, ErrReadOnly, ErrFull} {
		if errors.Is(e.Kind, passing) {
			return true
		}
	}
	return false
}

// Error implements error.
func (e *Error) Error() string {
	if detail := e.Code + e.Reason; detail != "" { // never both
		return fmt.Sprintf("%s: %v (%s)", e.Op, e.Kind, detail)
	}
	return fmt.Sprintf("%s: %v", e.Op, e.Kind)
}

// Unwrap gives the Kind and nothing else.
func (e *Error) Unwrap() error { return e.Kind }

// AsTimeout gives an error the kind ErrTimeout when it says that a limit of the
// caller's own ran out before the store's did; any other error stays what it is.
// op is the method that was called.
func AsTimeout(op string, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return &Error{Op: op, Kind: ErrTimeout, Cause: err}
	}
	return err
}
