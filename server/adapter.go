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
	draining := a.cfg.Health.isDraining
	return http.HandlerFunc(func(raw http.ResponseWriter, r *http.Request) {
		x, r := a.begin(rt, r)
		w := &responseWriter{ResponseWriter: raw, draining: draining}
		x.answer = w
		x.head(w.Header())

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
		x.requestID = randomID()
	}
	if len(x.traceparent) != traceparentLength {
		// What a caller sends is not taken over: others could then send requests under
		// the trace of somebody else.
		x.traceparent = randomTraceparent()
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

// head sets the headers of every answer: what names the request, and against content
// sniffing, caching, framing, the loading of other resources, and referrers (OWASP
// REST Security Cheat Sheet).
func (x *exchange) head(h http.Header) {
	setAll(h, []header{
		{"X-Request-Id", x.requestID},
		{"Traceparent", x.traceparent},
		{"X-Content-Type-Options", "nosniff"},
		{"Cache-Control", "no-store"},
		{"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
		{"Referrer-Policy", "no-referrer"},
	})
}

// header is one whose name has the canonical form.
type header struct{ name, value string }

// setAll sets headers with one allocation, where http.Header.Set makes one for each.
func setAll(h http.Header, headers []header) {
	values := make([]string, len(headers))
	for i, each := range headers {
		values[i] = each.value
		h[each.name] = values[i : i+1 : i+1]
	}
}
