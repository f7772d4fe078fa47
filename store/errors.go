package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Errors of the request or of the conversation's state. None of them is an outage of
// the store.
var (
	ErrNotFound = errors.New("store: no such conversation")
	ErrClosed   = errors.New("store: conversation is closed")
	ErrBusy     = errors.New("store: another turn is running")
	ErrMismatch = errors.New("store: idempotency key was used for another request")
	ErrStale    = errors.New("store: turn has been taken over")
	ErrCursor   = errors.New("store: not a cursor of this list")
	// ErrConversationFull says that the conversation has reached Limits.Turns or Bytes.
	ErrConversationFull = errors.New("store: conversation is full")
	// ErrQuota says that the owner has reached Limits.Conversations.
	ErrQuota = errors.New("store: owner has too many conversations")
)

// The kinds of outage. Each is the Kind of an *Error.
var (
	ErrUnreachable   = errors.New("store: unreachable")
	ErrTimeout       = errors.New("store: no answer in time")
	ErrPoolExhausted = errors.New("store: no connection free")
	ErrAuth          = errors.New("store: credentials refused")
	// ErrCredentials says that there are no credentials to show: their source, such as
	// the issuer of tokens or a file, does not give any. The place was not asked.
	ErrCredentials = errors.New("store: no credentials to be had")
	// ErrMisconfigured says that what answers is not what the settings say, such as a
	// node of a cluster or a sentinel where a single server should be. It lasts until
	// somebody changes one of the two.
	ErrMisconfigured = errors.New("store: not what the settings say")
	ErrNotReady      = errors.New("store: not ready")
	ErrReadOnly      = errors.New("store: takes no writes")
	ErrFull          = errors.New("store: out of memory")
	ErrProtocol      = errors.New("store: answer not understood")
	ErrRejected      = errors.New("store: command refused")
	ErrCorrupt       = errors.New("store: record does not decode")
	// ErrLost says that a conversation which was being started is gone. Nobody can
	// delete it, so the store lost it: by an eviction, a flush, or a failover. The
	// same call fails again; starting anew is safe.
	ErrLost = errors.New("store: lost what it had stored")
	// ErrOverloaded says that this service has more to do at once than it has
	// connections or processors for, and that the store is well.
	ErrOverloaded = errors.New("store: this service has too much to do at once")
)

// What an Error of kind ErrOverloaded has for a Reason.
const (
	NoConnection = "all connections for it are in use, and Redis answers"
	NoProcessor  = "this process waits for a processor"
	PagesWait    = "large pages wait for a processor"
)

// BusyError says that another turn holds the conversation. It matches ErrBusy.
type BusyError struct {
	Turn       int           // the number of the turn that runs
	RetryAfter time.Duration // until its lease would lapse; at most LeaseTime
	Same       bool          // it is the turn of the same request (S30)
}

// Error implements error.
func (e *BusyError) Error() string { return fmt.Sprintf("%v (turn %d)", ErrBusy, e.Turn) }

// Unwrap makes errors.Is(err, ErrBusy) true.
func (e *BusyError) Unwrap() error { return ErrBusy }

// Error is an outage; Kind says which. The cause is kept for the log but is not
// unwrapped. Otherwise errors.Is could not tell a network error of the store from the
// same error of the agent, and a connection's deadline would look like the caller's
// own.
type Error struct {
	Op   string // the Store method
	Kind error  // one of the outage errors above
	Code string // prefix of a RESP error reply, e.g. "OOM"; else empty
	// Reason adds detail for operators, in fixed words and sizes in bytes, e.g.
	// "connection refused"; may be empty.
	Reason string
	// BreakerOpen says that the store was not asked: a circuit breaker is open, and
	// Kind is that of the failure that opened it.
	BreakerOpen bool
	// OpenedBy is the Reason of that failure, or its Code; it may be empty. OpenedAt is
	// when the breaker opened.
	OpenedBy string
	OpenedAt time.Time
	Cause    error // the client library's error; may contain host names, never shown to a client
}

// Transient reports whether the same call can succeed later although nobody
// changes it: a connection may be free, Redis may be reached, be loaded, take writes or have memory again,
// credentials may be had again, and those that are being replaced may be accepted.
// It is false for a refusal for good: a command that the store's user may not run, a
// server that is not what the settings say, a write that is larger than Redis
// accepts, an answer that is not understood, a record that does not decode, and any
// error that nobody foresaw. Repeating such a call keeps a
// caller waiting for what will not happen.
func (e *Error) Transient() bool {
	if errors.Is(e.Kind, ErrAuth) {
		return e.Code != "NOPERM"
	}
	for _, passing := range []error{ErrUnreachable, ErrTimeout, ErrPoolExhausted, ErrOverloaded, ErrCredentials, ErrNotReady, ErrReadOnly, ErrFull} {
		if errors.Is(e.Kind, passing) {
			return true
		}
	}
	return false
}

// Error implements error.
func (e *Error) Error() string {
	detail := e.Code + e.Reason // never both
	if e.OpenedBy != "" {
		detail += ": " + e.OpenedBy
	}
	if detail != "" {
		return fmt.Sprintf("%s: %v (%s)", e.Op, e.Kind, detail)
	}
	return fmt.Sprintf("%s: %v", e.Op, e.Kind)
}

// Unwrap gives the Kind and nothing else.
func (e *Error) Unwrap() error { return e.Kind }

// AsTimeout turns an error into an outage of kind ErrTimeout if the caller's own
// deadline passed before the store's; it returns any other error unchanged, also one
// that says why. op is the method that was called.
func AsTimeout(op string, err error) error {
	if _, known := errors.AsType[*Error](err); !known && errors.Is(err, context.DeadlineExceeded) {
		return &Error{Op: op, Kind: ErrTimeout, Cause: err}
	}
	return err
}
