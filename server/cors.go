package server

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/rs/cors"
)

// crossOrigin lets scripts of exactly one other origin call the API. It wraps the
// mux, so that preflights are answered for every route, and does not copy the
// request.
func (s *Server) crossOrigin(next http.Handler) http.Handler {
	if s.cfg.CORSOrigin == "" {
		return next
	}
	preflight := s.adapter.adapt(route{open: true, aside: true, handle: func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}})
	return cors.New(cors.Options{
		AllowedOrigins: []string{s.cfg.CORSOrigin},
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete},
		AllowedHeaders: []string{
			"Authorization", "Content-Type", "Idempotency-Key", "Accept", "Last-Event-ID", "X-Request-Id",
			// What telemetry in a browser adds to every request: W3C Trace Context and
			// Baggage, and Application Insights. One header too many fails the preflight,
			// and with it every request of the page.
			"traceparent", "tracestate", "baggage", "Request-Id", "Request-Context",
		},
		ExposedHeaders: []string{"Retry-After", "X-Request-Id", "Idempotency-Replayed", "Server-Timing", "traceparent"},
		MaxAge:         600,
		// Preflights are passed on, so that they are logged and counted like any request.
		OptionsPassthrough: true,
	}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			preflight.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	}))
}

// ValidOrigin reports whether s is one origin in the form that browsers send: in ASCII,
// without the scheme's default port. A star would open the API to every page in the
// user's browser, so it is refused anywhere in s.
func ValidOrigin(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || s != strings.ToLower(u.Scheme+"://"+u.Host) || strings.ContainsFunc(s, func(r rune) bool { return r == '*' || r > '~' }) {
		return false
	}
	if u.Port() == "" {
		return (u.Scheme == "https" || u.Scheme == "http") && !strings.HasSuffix(s, ":")
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && u.Port() == strconv.FormatUint(port, 10) &&
		(u.Scheme == "https" && port != 443 || u.Scheme == "http" && port != 80) && port > 0
}
