package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"parley/server/auth"
	"parley/server/turn"
	"parley/store"
)

// adapt makes a route an http.Handler. It is the only place that turns an error
// into an answer and into a line of the log.
func (s *Server) adapt(rt route) http.Handler {
	return http.HandlerFunc(func(raw http.ResponseWriter, r *http.Request) {
		x, r := s.begin(rt, r)
		w := &statusWriter{ResponseWriter: raw}
		w.Header().Set("X-Request-Id", x.requestID)
		secure(w.Header())

		err := s.carry(rt, w, r)
		broken := x.cut || err != nil && w.status != 0 && !x.told
		if err != nil && !broken {
			err = s.problem(w, r, err)
		}
		s.done(w, r, err)
		if broken {
			// The client has half an answer. Cutting the connection is the one way
			// left to say that it is not whole.
			panic(http.ErrAbortHandler)
		}
	})
}

// carry lets the caller in and runs the handler. A panic becomes an error, so
// that it is answered and logged as any other failure.
func (s *Server) carry(rt route, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			panic(v)
		default:
			err = turn.NewPanicError(v)
		}
	}()
	if rt.open {
		return rt.handle(w, r)
	}
	defer s.working.Add(-1)
	if n := s.working.Add(1); s.cfg.MaxRequests > 0 && n > int64(s.cfg.MaxRequests) {
		return turn.ErrOverloaded
	}
	if err := s.admit(r); err != nil {
		return err
	}
	return rt.handle(w, r)
}

// secure sets what a browser is told of every answer: it is what its type says,
// nobody may keep it, show it in a frame or load anything for it, and where it
// led to stays here (OWASP REST Security Cheat Sheet).
func secure(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
}

// admit finds out who is asking.
func (s *Server) admit(r *http.Request) error {
	x := of(r)
	x.Stage = stageAuth
	// Joined, as RFC 9110, section 5.3 has it, two headers are no token: a proxy
	// may have checked the one, and this service the other.
	header := strings.Join(r.Header.Values("Authorization"), ", ")
	who, err := s.cfg.Auth.Verify(r.Context(), header)
	if err == nil && s.cfg.AuthRequired && (who.Tenant == "" || who.User == "") {
		// Half a principal would share its conversations with every other one.
		err = auth.ErrUnauthenticated
	}
	switch {
	case errors.Is(err, auth.ErrUnauthenticated):
		return &requestError{kind: err, header: http.Header{"Www-Authenticate": {challenge(header, err)}}}
	case err != nil:
		return err
	}
	x.Stage = ""
	x.who = who
	x.owner = store.Owner{Tenant: who.Tenant, User: who.User}
	if !s.cfg.AuthRequired {
		if x.owner.Tenant == "" {
			x.owner.Tenant = store.DefaultTenant
		}
		if x.owner.User == "" {
			x.owner.User = store.DefaultUser
		}
	}
	return nil
}

// challenge is what WWW-Authenticate says (RFC 6750, section 3): nothing more to
// somebody who showed no token, else what is wrong with it.
func challenge(header string, err error) string {
	if header == "" {
		return "Bearer"
	}
	if e, ok := errors.AsType[*auth.TokenError](err); ok {
		return `Bearer error="invalid_token", error_description="` + e.Description + `"`
	}
	return `Bearer error="invalid_token"`
}

// done reports a request that is over: one line in the log, one call of OnDone.
func (s *Server) done(w *statusWriter, r *http.Request, err error) {
	x := of(r)
	d := Done{
		Method: r.Method, Route: x.route, Turn: x.isTurn, Status: w.status, Duration: s.cfg.Now().Sub(x.began),
		Conversation: x.Conversation, TraceID: x.traceID, Owner: x.owner,
		Replayed: x.Replayed, Streamed: x.streamed, Joined: x.joined, Restarted: x.Restarted, AgentError: x.AgentError,
	}
	level := slog.LevelInfo
	switch {
	case err != nil:
		f := s.failureOf(r, err)
		d.Class, d.Stage, level = f.Class, x.Stage, f.Level
		if d.Status == 0 {
			d.Status = f.Status
		}
	case x.AgentError != "":
		d.Class, d.Stage, level = classAgentError, turn.StageUpstream, rowOf(classAgentError).Level
	}
	attrs := []slog.Attr{
		slog.String("method", wellKnown(d.Method)), slog.String("route", d.Route), slog.Int("status", d.Status),
		slog.String("class", d.Class), slog.String("stage", string(d.Stage)), slog.Float64("duration_ms", millis(d.Duration)),
		slog.String("request_id", x.requestID), slog.String("trace_id", d.TraceID),
	}
	if d.Conversation != "" {
		attrs = append(attrs, slog.String("conversation_id", d.Conversation))
	}
	if d.Streamed {
		// Why the status is 200 although the class says that it failed.
		attrs = append(attrs, slog.Bool("streamed", true), slog.Bool("joined", d.Joined))
	}
	if level > slog.LevelInfo && err != nil {
		attrs = append(attrs, slog.String("error", safeText(err, d.Class)))
	}
	if p, ok := errors.AsType[*turn.PanicError](err); ok {
		attrs = append(attrs, slog.String("stack", string(p.Stack)))
	}
	s.cfg.Log.LogAttrs(r.Context(), level, "request", attrs...)
	s.cfg.OnDone(r.Context(), d)
}

// safeText is what of an error may be logged. The errors that have a row were
// made to be read; one that nobody foresaw may quote what a user wrote, so only
// its types are told.
func safeText(err error, class string) string {
	if class != classInternal {
		return err.Error()
	}
	types := fmt.Sprintf("%T", err)
	for err = errors.Unwrap(err); err != nil; err = errors.Unwrap(err) {
		types += fmt.Sprintf(" of %T", err)
	}
	return types
}

// wellKnown is a method as it is logged: callers can make up any other.
func wellKnown(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return method
	}
	return "_OTHER"
}

// failureOf is the row of an error in the light of its request: a cancellation
// that is not the client's own doing is a fault of ours.
func (s *Server) failureOf(r *http.Request, err error) *Failure {
	f := lookup(err)
	if f.Class == classClientCanceled && r.Context().Err() == nil {
		return rowOf(classInternal)
	}
	return f
}

// respond writes one JSON answer. The status goes out only when the body is
// known to encode, so that a failure to encode can still be a proper answer.
func (s *Server) respond(w http.ResponseWriter, r *http.Request, status int, v any) error {
	body, err := turn.EncodeJSON(v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	s.write(w, r, status, "application/json", body)
	return nil
}

// write sends headers and body. An error of the connection is the client's
// leaving, and there is nobody left to tell.
func (s *Server) write(w http.ResponseWriter, r *http.Request, status int, mime string, body []byte) {
	x := of(r)
	w.Header().Set("Content-Type", mime)
	s.timing(w, x)
	readWithin(w, answerTime)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// answerTime is how long a client may take to read an answer, and fileTime for a
// file of the front end.
const (
	answerTime = time.Minute
	fileTime   = 5 * time.Minute
)

// readWithin ends the connection of a client that does not read its answer; it
// would hold the answer's memory for as long as it likes. The server lifts the
// limit when the request is over. Writers in tests have no such limit.
func readWithin(w http.ResponseWriter, limit time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(limit))
}

// timing tells the client where its time went.
func (s *Server) timing(w http.ResponseWriter, x *exchange) {
	w.Header().Set("Server-Timing", fmt.Sprintf("store;dur=%.1f, upstream;dur=%.1f", millis(x.Store), millis(x.Upstream)))
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// statusWriter remembers the status that was sent.
type statusWriter struct {
	http.ResponseWriter
	status int // 0 while nothing was written
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
