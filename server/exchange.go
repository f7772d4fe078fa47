package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"regexp"
	"time"

	"parley/server/auth"
	"parley/store"
)

// Done is what a request came to.
type Done struct {
	Method   string
	Route    string // the pattern without its method; "" where no route matched
	Status   int    // 499 when the client had left
	Class    string // failure class; "" when all went well
	Stage    string // where the failure happened: auth, begin, upstream, complete; or ""
	Turn     bool   // the request asked for a turn, whatever came of it
	Duration time.Duration

	Conversation string // "" where there is none
	RequestID    string
	TraceID      string
	Owner        store.Owner // zero when nobody was let in; for keyed hashes only

	Replayed   bool   // the answer of an earlier request with the same idempotency key
	Streamed   bool   // answered as server-sent events; Status is 200 even when Class says that it failed
	Joined     bool   // streamed the turn that an earlier request with the same key ran
	Restarted  bool   // the agent had forgotten the conversation
	AgentError string // the platform's code of class agent_error
}

// The stages of a request, as far as a failure can be pinned to one.
const (
	stageAuth     = "auth"
	stageBegin    = "begin"
	stageUpstream = "upstream"
	stageComplete = "complete"
)

// progress is how far a turn has come and what it cost. It belongs to the
// goroutine of its request.
type progress struct {
	stage        string
	conversation string
	store        time.Duration
	upstream     time.Duration
	restarted    bool
	replayed     bool
	agentError   string
}

// exchange is one request on its way through the handlers.
type exchange struct {
	progress
	route     string
	turn      bool
	streamed  bool
	joined    bool
	told      bool // of the failure, in the stream's last event
	cut       bool // the client has, or may have, half an answer
	requestID string
	traceID   string
	began     time.Time
	who       auth.Principal
	owner     store.Owner
}

type exchangeKey struct{}

// of finds the exchange of a request; the adapter put it there.
func of(r *http.Request) *exchange { return r.Context().Value(exchangeKey{}).(*exchange) }

// begin opens the exchange of a request.
func (s *Server) begin(rt route, r *http.Request) (*exchange, *http.Request) {
	x := &exchange{
		route:     rt.pattern,
		turn:      rt.turn,
		requestID: r.Header.Get("X-Request-Id"),
		traceID:   s.cfg.TraceID(r.Context()),
		began:     s.cfg.Now(),
	}
	if !isVisible(x.requestID, 128) {
		x.requestID = randomHex()
	}
	if x.traceID == "" {
		x.traceID = traceOf(r.Header)
	}
	return x, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
}

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
