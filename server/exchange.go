package server

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"time"

	"parley/server/auth"
	"parley/server/turn"
	"parley/store"
)

// Done is the outcome of a request.
type Done struct {
	Method   string
	Route    string     // the pattern without its method; "" where no route matched
	Status   int        // that was sent; 0 if none was, because the client had left
	Class    string     // failure class; "" on success
	Reason   Reason     // one of Reasons of the class; "" where it says all
	Stage    turn.Stage // where the failure happened; "" when there was none
	API      bool       // the request counts among those of the API: it is no probe, preflight or file of the front end
	Turn     bool       // the route is one that runs a turn, even if none was begun
	Duration time.Duration

	Conversation string // "" where there is none
	TraceID      string
	RequestID    string // the front end's X-Request-Id, or one that was made up here
	OwnerHash    string // of who asked, as Config.OwnerHash gives it; "" where that is not known

	Replayed   bool   // answered with the stored answer of an earlier request
	Streamed   bool   // answered as server-sent events; Status is 200 even when Class says that it failed
	Joined     bool   // streamed the turn that an earlier request with the same key ran
	JoinedSpan string // the traceparent of that request; "" if another instance has it
	Restarted  bool   // the agent had forgotten the conversation
	AgentError string // the platform's code of class agent_error
}

// StageAuth is the stage before those of a turn: authentication.
const StageAuth turn.Stage = "auth"

// exchange is the state of one request while it is handled.
type exchange struct {
	turn.Progress
	route       string
	isTurn      bool
	aside       bool // not counted among the requests of the API
	streamed    bool
	answer      *responseWriter
	requestID   string
	traceparent string // of the request's span
	began       time.Time
	who         auth.Principal
	owner       store.Owner
	reserved    reservation
}

type exchangeKey struct{}

// of returns the exchange of a request; the adapter put it into the context.
func of(r *http.Request) *exchange { return r.Context().Value(exchangeKey{}).(*exchange) }

// traceparentLength is how long a traceparent of version 00 is.
const traceparentLength = len("00-0123456789abcdef0123456789abcdef-0123456789abcdef-00")

// traceID is the trace that the request belongs to: 32 hexadecimal digits.
func (x *exchange) traceID() string {
	const version, length = len("00-"), 32
	return x.traceparent[version : version+length]
}

// randomID makes the id of a request: 32 hexadecimal digits.
func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// randomTraceparent makes the traceparent of a trace that is not recorded.
func randomTraceparent() string {
	const traceID = 16
	var b [traceID + 8]byte
	_, _ = rand.Read(b[:]) // never fails
	text := hex.AppendEncode(append(make([]byte, 0, traceparentLength), "00-"...), b[:traceID])
	text = hex.AppendEncode(append(text, '-'), b[traceID:])
	return string(append(text, "-00"...))
}

// isVisible reports whether s is 1 to limit bytes of visible ASCII.
func isVisible(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
