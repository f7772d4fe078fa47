package copilot

import (
	"errors"
	"fmt"
	"time"
)

// Why the agent gave no answer. Each is the Kind of an *Error.
var (
	ErrTimeout     = errors.New("copilot: no answer in time")
	ErrUnreachable = errors.New("copilot: unreachable")
	ErrThrottled   = errors.New("copilot: throttled")
	ErrRejected    = errors.New("copilot: request refused")
	ErrServer      = errors.New("copilot: agent's server failed")
	ErrProtocol    = errors.New("copilot: answer not understood")
	ErrInterrupted = errors.New("copilot: answer ended before its end")
)

// Error is a failed call of the agent. The foreign cause is kept for the log
// and not unwrapped, so that nothing inside it can pass for an error of another
// part of the program.
type Error struct {
	Op         string        // "start" or "turn"
	Kind       error         // one of the errors above
	Status     int           // HTTP status of the agent's response, 0 if there was none
	Code       string        // the agent's own error code, e.g. "Forbidden", or the token endpoint's; letters, digits, dots and underscores, at most 64
	Reason     string        // more detail in fixed words; may be empty
	RetryAfter time.Duration // of ErrThrottled, 0 if the agent did not say
	Cause      error         // may name hosts; never shown to a client
}

// Error implements error. It carries neither the cause's text nor any body.
func (e *Error) Error() string {
	switch {
	case e.Reason != "":
		return fmt.Sprintf("%s: %v (%s)", e.Op, e.Kind, e.Reason)
	case e.Code != "" && e.Status == 0:
		return fmt.Sprintf("%s: %v (%s)", e.Op, e.Kind, e.Code)
	case e.Code != "":
		return fmt.Sprintf("%s: %v (status %d, %s)", e.Op, e.Kind, e.Status, e.Code)
	case e.Status != 0:
		return fmt.Sprintf("%s: %v (status %d)", e.Op, e.Kind, e.Status)
	}
	return fmt.Sprintf("%s: %v", e.Op, e.Kind)
}

// Unwrap gives the Kind and nothing else.
func (e *Error) Unwrap() error { return e.Kind }
