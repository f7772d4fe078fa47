package main

import (
	"net/http"
	"testing"

	"parley/store/redis/entra"
)

// Without a token for Redis all signals lead to its issuer. It is asked again and again,
// which is one span and not hundreds, or nobody would find the requests among them.
func TestNoTokenForRedisIsTheIssuersFault(t *testing.T) {
	e := newTokenEndpoint(t)
	here := e.host(t)
	for name, c := range map[string]struct {
		authority string
		host      attributes
		reason    string
	}{
		"refused":   {"https://127.0.0.1:1", attributes{"server.address": "127.0.0.1", "server.port": "1"}, "the token source cannot be reached"},
		"untrusted": {e.URL, here, "the certificate of the token source is not valid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "50")
			w := watch(t, "http/protobuf", func(settings *config, _ *seams) {
				settings.redisURL = "rediss://127.0.0.1:1"
				settings.deployment.entra = entraSettings{method: entra.ClientSecret, client: "id", tenant: "t", secret: "S3CR3T", authority: c.authority, scope: entra.DefaultScope}
			})
			a := start(w)
			if a.status != http.StatusServiceUnavailable || a.Class != "store_credentials" {
				t.Errorf("%d %s", a.status, a.body)
			}
			waitFor(t, func() bool {
				return w.collector.sum("parley.token.duration", attributes{"parley.token.for": "redis", "error.type": "store_credentials"}) >= 3
			})
			w.end()
			spans := w.collector.named("fetch_token")
			if len(spans) != 1 {
				t.Fatalf("%d spans", len(spans))
			}
			s := spans[0]
			if s.kind != "SPAN_KIND_CLIENT" || !s.attrs.has(c.host) || !s.failed || s.attrs["parley.token.for"] != "redis" ||
				s.attrs["error.type"] != "store_credentials" || s.attrs["parley.failure.reason"] != c.reason {
				t.Errorf("span of the fetch: %+v", s)
			}
			for _, r := range w.collector.named("GET") {
				if r.parent != s.id || !r.attrs.has(c.host) || r.attrs["error.type"] != "store_credentials" {
					t.Errorf("span of an HTTP request: %+v", r)
				}
			}
			if n := len(w.collector.named("GET")); n != 1 {
				t.Errorf("%d spans of HTTP requests", n)
			}
		})
	}
}
