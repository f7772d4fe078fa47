package telemetry_test

import (
	"context"
	"crypto/tls"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"parley/telemetry"
)

// sampling keeps what a sampler is asked.
type sampling struct {
	name  string
	attrs map[string]string
}

func (s *sampling) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	s.name, s.attrs = p.Name, map[string]string{}
	for _, a := range p.Attributes {
		s.attrs[string(a.Key)] = a.Value.String()
	}
	return sdktrace.AlwaysSample().ShouldSample(p)
}

func (s *sampling) Description() string { return "sampling" }

// A sampler sees of a request all that can be known before it is handled, and nothing
// that its caller made up.
func TestWhatSamplersSee(t *testing.T) {
	const conversation = "/api/chat/conversations/{id}"
	seen := &sampling{}
	tel, err := telemetry.New(telemetry.Options{
		Class: class, Classes: []telemetry.Class{{Name: "internal"}}, Address: "parley.example",
		Patterns: []string{"/api/chat/send", "/api/chat/conversations", conversation, conversation + "/stop"},
		Tracers:  sdktrace.NewTracerProvider(sdktrace.WithSampler(seen)),
	})
	if err != nil {
		t.Fatal(err)
	}
	h := tel.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, c := range []struct {
		method, target, route string
		change                func(*http.Request)
		want                  map[string]string // beside what is always there
	}{
		{method: "POST", target: "/api/chat/send?token=secret", route: "/api/chat/send"},
		{method: "GET", target: conversation[:len(conversation)-4] + "alice@example.com", route: conversation},
		{method: "POST", target: "/api/chat/conversations/x/stop", route: conversation + "/stop"},
		{method: "GET", target: "/api/chat/conversations/x/other"},
		{method: "GET", target: "/api/chat/conversations/"},
		{method: "GET", target: "/api/chat/conversations/.."},
		{method: "GET", target: "/api/chat/conversations/./stop"},
		{method: "GET", target: "/api/chat/conversations/a%2Fb"},
		{method: "GET", target: "/api%2Fchat/send"},
		{method: "GET", target: "/api//chat/send"},
		{method: "GET", target: "/alice@example.com"},
		{method: "OPTIONS", target: "/api/chat/send"},
		{method: "PROPFIND", target: "/api/chat/send", route: "/api/chat/send", want: map[string]string{"http.request.method": "_OTHER"}},
		{
			method: "GET", target: "/api/chat/send", route: "/api/chat/send",
			change: func(r *http.Request) { r.TLS, r.ProtoMajor, r.ProtoMinor = &tls.ConnectionState{}, 2, 0 },
			want:   map[string]string{"url.scheme": "https", "network.protocol.version": "2"},
		},
		{
			method: "GET", target: "/api/chat/send", route: "/api/chat/send",
			change: func(r *http.Request) {
				r.Host = "attacker.example:1"
				*r = *r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{Port: 3001}))
			},
			want: map[string]string{"server.port": "3001"},
		},
	} {
		r := httptest.NewRequestWithContext(t.Context(), c.method, c.target, nil)
		if c.change != nil {
			c.change(r)
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
		want := map[string]string{
			"http.request.method": c.method, "url.scheme": "http", "url.path": "REDACTED",
			"network.protocol.version": "1.1", "server.address": "parley.example",
		}
		if c.route != "" {
			want["http.route"], want["url.path"] = c.route, c.route
		}
		maps.Copy(want, c.want)
		name := want["http.request.method"]
		if c.route != "" {
			name += " " + c.route
		}
		if !maps.Equal(seen.attrs, want) || seen.name != name {
			t.Errorf("%s %s: a sampler sees %q %v, want %q %v", c.method, c.target, seen.name, seen.attrs, name, want)
		}
	}
}
