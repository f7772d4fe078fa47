package server

import (
	"net/http"
	"testing"
)

// A browser sends a request only when the preflight allows every header that the page,
// or telemetry in the page, adds to it. It names them in lower case, sorted (Fetch
// standard, "CORS-unsafe request-header names").
func TestPreflights(t *testing.T) {
	w := newHarness(t, nil, func(c *Config) { c.CORSOrigin = itsOwn })
	const front = "authorization,content-type,idempotency-key"
	for name, c := range map[string]struct {
		method, origin, headers string
		ok                      bool
	}{
		"no headers":               {"POST", itsOwn, "", true},
		"the front end":            {"POST", itsOwn, front, true},
		"a stream":                 {"GET", itsOwn, "accept,authorization,last-event-id", true},
		"close":                    {"PATCH", itsOwn, "authorization,content-type", true},
		"delete":                   {"DELETE", itsOwn, "authorization", true},
		"OpenTelemetry":            {"POST", itsOwn, "authorization,baggage,content-type,traceparent,tracestate", true},
		"Application Insights":     {"POST", itsOwn, "authorization,content-type,request-context,request-id,traceparent", true},
		"a request id":             {"POST", itsOwn, front + ",x-request-id", true},
		"all of it":                {"POST", itsOwn, "accept,authorization,baggage,content-type,idempotency-key,last-event-id,request-context,request-id,traceparent,tracestate,x-request-id", true},
		"a header nobody reads":    {"POST", itsOwn, front + ",x-nobody-reads-it", false},
		"a method that none has":   {"PUT", itsOwn, "", false},
		"another site":             {"POST", "https://evil.example", "traceparent", false},
		"a name that begins alike": {"POST", itsOwn + ".evil.example", "", false},
		"a sandboxed page":         {"POST", "null", "", false},
		"without TLS":              {"POST", "http://chat.example", "", false},
	} {
		preflight := call{Method: "OPTIONS", Path: "/api/chat/send"}.with("Origin", c.origin).with("Access-Control-Request-Method", c.method)
		if c.headers != "" {
			preflight = preflight.with("Access-Control-Request-Headers", c.headers)
		}
		rec := w.do(preflight)
		h := rec.Header()
		allowed := h.Get("Access-Control-Allow-Origin") == c.origin && h.Get("Access-Control-Allow-Methods") == c.method &&
			h.Get("Access-Control-Allow-Headers") == c.headers
		if rec.Code != http.StatusNoContent || allowed != c.ok {
			t.Errorf("%s: %d %v", name, rec.Code, h)
		}
	}
}

// A page can read only the headers that are exposed to it.
func TestExposedHeaders(t *testing.T) {
	w := newHarness(t, nil, func(c *Config) { c.CORSOrigin = itsOwn })
	h := w.do(get("/livez").with("Origin", itsOwn)).Header()
	if got := h.Get("Access-Control-Expose-Headers"); got != "Retry-After, X-Request-Id, Idempotency-Replayed, Server-Timing, Traceparent" {
		t.Errorf("exposed: %q", got)
	}
}
