package copilot

import (
	"errors"
	"fmt"
	"strings"
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
	// ErrToken is the fault of the issuer of our own tokens, or of our settings for
	// it: the agent was not asked.
	ErrToken = errors.New("copilot: no token for the agent")
)

// The Reason of an ErrToken is one of these words, or empty. ReasonClientRefused is for
// whoever deploys this service to mend, ReasonUserRefused for the user or the
// administrator of the user's tenant, and the others are the issuer's, or of the way
// to it.
const (
	ReasonName          = "name_not_found" // a name server knows no address, or does not answer
	ReasonTLS           = "tls_failed"     // the certificate is not trusted, or what answers speaks no TLS
	ReasonUnreachable   = "unreachable"    // the connection is refused, reset or cut
	ReasonTimeout       = "timeout"        // no answer in time
	ReasonIssuerFailed  = "issuer_failed"  // a 5xx
	ReasonThrottled     = "throttled"      // 429
	ReasonNotUnderstood = "not_understood" // an answer that is none of OAuth 2.0
	ReasonClientRefused = "client_refused" // our client id, secret or scope (RFC 6749, section 5.2)
	ReasonUserRefused   = "user_refused"   // the user's sign-in is too old, or lacks a consent or a second factor
)

// The Reason of an ErrUnreachable is ReasonName, ReasonTLS, ReasonUnreachable, or
// ReasonTimeout where nothing answered to a connect or in the TLS handshake. That of an
// ErrTimeout says how far the request had come when its time was over. Either is empty
// where the transport does not tell.
const (
	ReasonNoConnection = "no_connection"     // there was none yet, TLS included
	ReasonNoHeaders    = "no_headers"        // there was one, and no headers of an answer came on it
	ReasonUnfinished   = "answer_unfinished" // the headers had come, and the answer did not end
)

// UnreachableReasons are all reasons of an ErrUnreachable.
func UnreachableReasons() []string {
	return []string{ReasonName, ReasonTLS, ReasonUnreachable, ReasonTimeout}
}

// TimeoutReasons are all reasons of an ErrTimeout.
func TimeoutReasons() []string {
	return []string{ReasonNoConnection, ReasonNoHeaders, ReasonUnfinished}
}

// TokenReasons are all of those of an ErrToken.
func TokenReasons() []string {
	return []string{
		ReasonName, ReasonTLS, ReasonUnreachable, ReasonTimeout, ReasonIssuerFailed, ReasonThrottled, ReasonNotUnderstood,
		ReasonClientRefused, ReasonUserRefused,
	}
}

// Error is a failed call of the agent. The foreign cause is kept for the log
// and not unwrapped, so that nothing inside it can pass for an error of another
// part of the program.
type Error struct {
	Op         string        // "start" or "turn"
	Kind       error         // one of the errors above
	Status     int           // HTTP status of the agent's response, 0 if there was none
	Code       string        // the agent's own error code, e.g. "Forbidden", or the token endpoint's; letters, digits, dots and underscores, at most 64
	Reason     string        // one of the words above; of another kind, more detail in fixed words; may be empty
	RetryAfter time.Duration // of ErrThrottled, 0 if the agent did not say; of ErrToken, until the issuer is asked again
	Cause      error         // may name hosts; never shown to a client
}

// Error implements error. It carries neither the cause's text nor any body.
func (e *Error) Error() string {
	var known []string
	if e.Status != 0 {
		known = append(known, fmt.Sprintf("status %d", e.Status))
	}
	for _, s := range []string{e.Code, e.Reason} {
		if s != "" {
			known = append(known, s)
		}
	}
	if len(known) == 0 {
		return fmt.Sprintf("%s: %v", e.Op, e.Kind)
	}
	return fmt.Sprintf("%s: %v (%s)", e.Op, e.Kind, strings.Join(known, ", "))
}

// Unwrap gives the Kind and nothing else.
func (e *Error) Unwrap() error { return e.Kind }
