package server

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"regexp"
	"time"

	"parley/server/auth"
	"parley/server/turn"
	"parley/store"
)

// Done is the outcome of a request.
type Done struct {
	Method   string
	Route    string     // the pattern without its method; "" where no route matched
	Status   int        // 499 when the client had left
	Class    string     // failure class; "" on success
	Stage    turn.Stage // where the failure happened; "" when there was none
	Turn     bool       // the route is one that runs a turn, even if none was begun
	Duration time.Duration

	Conversation string // "" where there is none
	TraceID      string
	Owner        store.Owner // zero when the caller was not authenticated; for keyed hashes only

	Replayed   bool   // answered with the stored answer of an earlier request
	Streamed   bool   // answered as server-sent events; Status is 200 even when Class says that it failed
	Joined     bool   // streamed the turn that an earlier request with the same key ran
	Restarted  bool   // the agent had forgotten the conversation
	AgentError string // the platform's code of class agent_error
}

// stageAuth is the stage before those of a turn: authentication.
const stageAuth turn.Stage = "auth"

// exchange is the state of one request while it is handled.
type exchange struct {
	turn.Progress
	route     string
	isTurn    bool
	streamed  bool
	told      bool // the failure was sent as the stream's last event
	cut       bool // the client may have only a part of the answer
	requestID string
	traceID   string
	began     time.Time
	who       auth.Principal
	// releaseBody gives back the bytes that were set aside for the body, when it is
	// read and decoded; nil for open routes. It may be called twice.
	releaseBody func()
	owner       store.Owner
}

type exchangeKey struct{}

// of returns the exchange of a request; the adapter put it into the context.
func of(r *http.Request) *exchange { return r.Context().Value(exchangeKey{}).(*exchange) }

// traceparent is the header of the W3C trace context. Versions after 00 may
// append fields.
var traceparent = regexp.MustCompile(`^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$`)

// traceOf is the trace id in a valid traceparent header, else a new one.
func traceOf(h http.Header) string {
	const noTrace, noSpan = "00000000000000000000000000000000", "0000000000000000"
	values := h.Values("Traceparent")
	if len(values) == 1 {
		m := traceparent.FindStringSubmatch(values[0])
		if m != nil && m[1] != "ff" && (m[1] != "00" || m[4] == "") && m[2] != noTrace && m[3] != noSpan {
			return m[2]
		}
	}
	return randomHex()
}

// randomHex gives 16 random bytes.
func randomHex() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
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
