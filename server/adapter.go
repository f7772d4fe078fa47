package server

import (
	"context"
	"net/http"

	"parley/server/auth"
	"parley/server/turn"
)

// adapter runs the handlers of routes and writes what they return.
type adapter struct {
	cfg       *Config
	admission *admission
	pages     *pages
}

// adapt makes a route an http.Handler. It is the only place that turns an error
// into an answer and into a line of the log.
func (a *adapter) adapt(rt route) http.Handler {
	return http.HandlerFunc(func(raw http.ResponseWriter, r *http.Request) {
		x, r := a.begin(rt, r)
		w := &responseWriter{ResponseWriter: raw, draining: a.cfg.Health.isDraining}
		x.answer = w
		w.Header().Set("X-Request-Id", x.requestID)
		w.Header().Set("Traceparent", x.traceparent)
		secure(w.Header())

		err := a.carry(rt, w, r)
		if err != nil && !w.begun() {
			leave := a.admission.problems.enter(w)
			err = writeProblem(w, r, err)
			leave()
		}
		a.done(w, r, err)
		// The end of a turn that waits for the store keeps the request's context. It
		// needs the trace in it, and must not keep the caller's token.
		x.who = auth.Principal{}
		if w.err != nil || err != nil && !w.complete {
			// The client has no answer, or a part of one. Only a cut connection can
			// still tell it that this is not the whole.
			panic(http.ErrAbortHandler)
		}
	})
}

// begin opens the exchange of a request.
func (a *adapter) begin(rt route, r *http.Request) (*exchange, *http.Request) {
	x := &exchange{
		route:       rt.pattern,
		isTurn:      rt.turn,
		aside:       rt.aside,
		requestID:   r.Header.Get("X-Request-Id"),
		traceparent: a.cfg.Traceparent(r.Context()),
		began:       a.cfg.Now(),
	}
	if !isVisible(x.requestID, 128) {
		x.requestID = randomHex(16)
	}
	if len(x.traceparent) != traceparentLength {
		// What a caller sends is not taken over: others could then send requests under
		// the trace of somebody else.
		x.traceparent = "00-" + randomHex(16) + "-" + randomHex(8) + "-00"
	}
	return x, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
}

// carry authenticates the caller and runs the handler. A panic becomes an error,
// so it is answered and logged like any other failure.
func (a *adapter) carry(rt route, w *responseWriter, r *http.Request) (err error) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			panic(v)
		default:
			err = turn.NewPanicError(v)
		}
	}()
	if err := a.pages.check(r); err != nil {
		return err
	}
	leave, err := a.admission.enter(rt, w, r)
	if err != nil {
		return err
	}
	defer leave()
	return rt.handle(w, r)
}

// secure sets the security headers of every answer: no content sniffing, no
// caching, no framing, no loading of other resources, no referrer (OWASP REST
// Security Cheat Sheet).
func secure(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
}
