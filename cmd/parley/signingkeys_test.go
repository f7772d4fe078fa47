package main

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"testing"

	"parley/server/auth/authtest"
)

// signsIn is a change by which callers sign in with the issuer's tokens. dial, if it is
// not nil, makes the connections to it.
func signsIn(issuer *authtest.Issuer, dial dialFunc) change {
	return func(c *config, with *seams) {
		c.authRequired, c.authIssuer, c.authAudiences, c.allowedTenants = true, issuer.URL(), []string{"api://" + authtest.ClientID}, []string{authtest.Tenant}
		with.issuers = func(tr *http.Transport) {
			tr.TLSClientConfig = issuer.Transport().(*http.Transport).TLSClientConfig.Clone()
			if dial != nil {
				tr.DialContext = dial
			}
		}
	}
}

// While the issuer of callers' tokens cannot be asked for its keys, all signals lead to
// it; and when it can be again, they say how old the keys are.
func TestNoSigningKeysIsTheIssuersFault(t *testing.T) {
	noName := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}
	}
	for name, c := range map[string]struct {
		fault  http.HandlerFunc
		dial   dialFunc
		status string // error.type of the HTTP request; "" for one that did not fail
	}{
		"cut":          {fault: authtest.Down, status: "auth_unavailable"},
		"no such name": {dial: noName, status: "auth_unavailable"},
		"500":          {fault: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, status: "500"},
		"garbage":      {fault: authtest.Says("<html>")},
	} {
		t.Run(name, func(t *testing.T) {
			key := authtest.NewEC(t, "key")
			issuer := authtest.NewIssuer(t, key)
			issuer.Break(c.fault)
			u, err := url.Parse(issuer.URL())
			if err != nil {
				t.Fatal(err)
			}
			host := attributes{"server.address": u.Hostname(), "server.port": u.Port()}
			w := watch(t, "http/protobuf", signsIn(issuer, c.dial))
			ask := func() told {
				return w.ask("POST", "/api/chat/start", "", "Authorization", "Bearer "+key.Token(issuer.Claims()))
			}
			refused := ask()
			if refused.status != http.StatusServiceUnavailable || refused.Class != "auth_unavailable" {
				t.Errorf("%d %s", refused.status, refused.body)
			}
			if c.dial == nil {
				issuer.Break(nil)
				waitFor(t, func() bool { return ask().status == http.StatusOK })
			}
			w.end()

			found := false
			for _, s := range w.collector.named("fetch_signing_keys") {
				found = found || s.trace == refused.TraceID && s.attrs["error.type"] == "auth_unavailable" && s.failed && !s.described
				if !s.attrs.has(host) {
					t.Errorf("not the issuer's host: %+v", s)
				}
			}
			if !found {
				t.Errorf("no span of the refused request leads to the issuer: %+v", w.collector.named("fetch_signing_keys"))
			}
			failed := 0
			for _, s := range w.collector.named("GET") {
				if s.kind == "SPAN_KIND_CLIENT" && s.attrs["error.type"] != "" {
					failed++
					if s.attrs["error.type"] != c.status || !s.attrs.has(host) || !s.failed {
						t.Errorf("span of an HTTP request: %+v", s)
					}
				}
			}
			if (failed > 0) != (c.status != "") {
				t.Errorf("%d HTTP requests failed", failed)
			}
			if w.collector.sum("parley.signing_keys.duration", attributes{"error.type": "auth_unavailable"}) < 1 {
				t.Error("no failure is measured")
			}
			if aged := w.collector.has("parley.signing_keys.age"); aged != (c.dial == nil) {
				t.Errorf("the age of the keys is measured: %v", aged)
			}
		})
	}
}

// has reports whether there is a point of a metric.
func (c *collector) has(metric string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.points {
		if p.Metric == metric {
			return true
		}
	}
	return false
}

// Where nobody signs in, there are no keys that could have an age.
func TestNoAgeWithoutSigningKeys(t *testing.T) {
	w := watch(t, "http/protobuf")
	w.start()
	w.end()
	if w.collector.has("parley.signing_keys.age") {
		t.Error("keys that are not there have an age")
	}
}
