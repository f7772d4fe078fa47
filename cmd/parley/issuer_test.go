package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/server/auth"
	"parley/server/copilot"
)

// tokenEndpoint issues the tokens that the emulated agent takes.
type tokenEndpoint struct {
	*httptest.Server
	faulty atomic.Pointer[http.HandlerFunc] // answers requests for tokens
	dial   atomic.Pointer[dialFunc]         // makes the service's connections to it
	life   context.Context                  // of the test
}

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

func newTokenEndpoint(t *testing.T) *tokenEndpoint {
	t.Helper()
	e := &tokenEndpoint{life: t.Context()}
	e.Server = httptest.NewTLSServer(e)
	t.Cleanup(e.Close)
	return e
}

func (e *tokenEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/openid-configuration") {
		_ = json.NewEncoder(w).Encode(m{"issuer": e.URL + "/tenant/v2.0", "token_endpoint": e.URL + "/tenant/token", "authorization_endpoint": e.URL + "/tenant/authorize"})
		return
	}
	_ = r.ParseForm() // a server notices that a client has left only when it has read its body
	if f := e.faulty.Load(); f != nil {
		(*f)(w, r)
		return
	}
	_ = json.NewEncoder(w).Encode(m{"token_type": "Bearer", "access_token": "stub", "expires_in": 3600})
}

// breaks has f answer requests for tokens.
func (e *tokenEndpoint) breaks(f http.HandlerFunc) { e.faulty.Store(&f) }

// away has connections to it end so.
func (e *tokenEndpoint) away(f dialFunc) { e.dial.Store(&f) }

// issues is a change by which the agent's tokens come from the endpoint, for the user
// who is signed in or for the service itself.
func (e *tokenEndpoint) issues(onBehalf bool) change {
	return func(c *config, with *seams) {
		c.stubToken, c.endpoint.Scope = "", "scope"
		c.copilotAuthority, c.copilotTenant, c.copilotApp, c.copilotSecret = e.URL, "tenant", "app", "S3CR3T-client"
		if onBehalf {
			c.authRequired, with.verifier = true, signedIn("S3CR3T-assertion")
		}
		with.issuers = func(tr *http.Transport) {
			tr.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
			tr.TLSClientConfig.RootCAs.AddCert(e.Certificate())
			tr.DisableKeepAlives = true
			dial := tr.DialContext
			tr.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				if f := e.dial.Load(); f != nil {
					return (*f)(ctx, network, address)
				}
				return dial(ctx, network, address)
			}
		}
	}
}

// host is the endpoint's address, as spans have it.
func (e *tokenEndpoint) host(t *testing.T) attributes {
	t.Helper()
	u, err := url.Parse(e.URL)
	if err != nil {
		t.Fatal(err)
	}
	return attributes{"server.address": u.Hostname(), "server.port": u.Port()}
}

// signedIn is a Verifier that lets in one user with that token.
type signedIn string

func (s signedIn) Verify(context.Context, string) (auth.Principal, error) {
	return auth.Principal{Tenant: "tenant-1", User: "user-1", Token: string(s)}, nil
}

// noToken is a way in which no token comes.
type noToken struct {
	breaks func(e *tokenEndpoint)
	change change
	// reason is what the span of the fetch says, and userReason what it says when the
	// token was to be on behalf of a user, if that is another.
	reason, userReason string
	code               string // of the issuer
	status             string // error.type of the HTTP request, if it got an answer that is a failure
	noRequest          bool   // no HTTP request failed: its answer was no token
}

func answers(status int, body string) func(*tokenEndpoint) {
	return func(e *tokenEndpoint) {
		e.breaks(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		})
	}
}

func noTokens() map[string]noToken {
	return map[string]noToken{
		"refused": {breaks: func(e *tokenEndpoint) { e.Close() }, reason: copilot.ReasonUnreachable},
		"no such name": {breaks: func(e *tokenEndpoint) {
			e.away(func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}
			})
		}, reason: copilot.ReasonName},
		"no TLS": {breaks: func(e *tokenEndpoint) {
			plain := httptest.NewServer(http.NotFoundHandler())
			context.AfterFunc(e.life, plain.Close)
			e.away(func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, plain.Listener.Addr().String())
			})
		}, reason: copilot.ReasonTLS},
		"silent": {
			breaks: func(e *tokenEndpoint) {
				e.breaks(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
			},
			change: func(c *config, _ *seams) { c.copilotTimeout = time.Second }, reason: copilot.ReasonTimeout,
		},
		"cut": {breaks: func(e *tokenEndpoint) {
			e.breaks(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		}, reason: copilot.ReasonUnreachable},
		"500":       {breaks: answers(500, ""), reason: copilot.ReasonIssuerFailed, status: "500"},
		"throttled": {breaks: answers(429, `{"error":"temporarily_unavailable","error_codes":[90033]}`), reason: copilot.ReasonThrottled, code: "AADSTS90033", status: "429"},
		"our secret": {
			breaks: answers(400, `{"error":"invalid_client","error_description":"S3CR3T ann@contoso.example","error_codes":[7000222]}`),
			reason: copilot.ReasonClientRefused, code: "AADSTS7000222", status: "400",
		},
		"the user's consent": {
			breaks: answers(400, `{"error":"invalid_grant","error_description":"S3CR3T ann@contoso.example","error_codes":[65001]}`),
			reason: copilot.ReasonClientRefused, userReason: copilot.ReasonUserRefused, code: "AADSTS65001", status: "400",
		},
		"a second factor": {
			breaks: answers(400, `{"error":"interaction_required","error_codes":[50076]}`),
			reason: copilot.ReasonClientRefused, userReason: copilot.ReasonUserRefused, code: "AADSTS50076", status: "400",
		},
		"garbage":        {breaks: answers(200, "<html>S3CR3T"), reason: copilot.ReasonNotUnderstood, noRequest: true},
		"another's page": {breaks: answers(403, "<html>S3CR3T"), reason: copilot.ReasonNotUnderstood, status: "403"},
	}
}

// TEL-01: whatever keeps the issuer of our own tokens from giving one, all signals lead
// to the issuer and none to the agent, which is not asked. A second request that shares
// the failure leads there too.
func TestNoTokenIsTheIssuersFault(t *testing.T) {
	for name, c := range noTokens() {
		for flow, onBehalf := range map[string]bool{"on behalf of the user": true, "as the application": false} {
			for _, path := range []string{"start", "send"} {
				t.Run(name+"/"+flow+"/"+path, func(t *testing.T) {
					e := newTokenEndpoint(t)
					w := watch(t, "http/protobuf", e.issues(onBehalf), c.change)
					c.provoke(t, w, e, path, onBehalf)
				})
			}
		}
	}
}

// provoke asks twice without a token, and compares all that this left.
func (c noToken) provoke(t *testing.T, w *watched, e *tokenEndpoint, path string, onBehalf bool) {
	t.Helper()
	ask := func() told { return start(w) }
	if path == "send" {
		id := w.start()
		// The agent refuses the token, which is a failure of the agent's; the next turn
		// needs another.
		if a := w.send(id, "/401"); a.Class != "upstream_rejected" {
			t.Errorf("the agent refuses: %d %s", a.status, a.body)
		}
		ask = func() told { return w.send(id, "hello") }
	}
	host := e.host(t)
	if c.breaks != nil {
		c.breaks(e)
	}
	before := len(w.emulator.Requests())
	first := ask()
	second := ask()
	w.end()
	for i, a := range []told{first, second} {
		if a.status != http.StatusBadGateway || a.Class != "token_unavailable" || a.header.Get("Retry-After") == "" || a.header.Get("WWW-Authenticate") != "" {
			t.Errorf("answer %d: %d %s", i+1, a.status, a.body)
		}
	}
	if n := len(w.emulator.Requests()) - before; n != 0 {
		t.Errorf("the agent was asked %d times", n)
	}
	c.spans(t, w, host, first, second, onBehalf)
	if n := w.collector.sum("parley.token.duration", attributes{"parley.token.for": "agent", "error.type": "token_unavailable"}); n < 1 {
		t.Errorf("%v fetches failed", n)
	}
	for _, metric := range []string{"parley.agent.duration", "http.client.request.duration"} {
		if n := w.collector.sum(metric, attributes{"error.type": "token_unavailable"}); n != 0 {
			t.Errorf("%s: %v", metric, n)
		}
	}
	found := 0
	for _, l := range w.lines() {
		if l["class"] == "token_unavailable" && l["stage"] == "token" && l["reason"] == c.reasonFor(onBehalf) && strings.Contains(l["error"].(string), c.reasonFor(onBehalf)) {
			found++
		}
	}
	if found != 2 {
		t.Errorf("%d lines say so: %s", found, w.log)
	}
	w.collector.mu.Lock()
	defer w.collector.mu.Unlock()
	for _, text := range []string{w.log.String(), string(w.collector.raw)} {
		for _, secret := range []string{"S3CR3T", "contoso"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s was told", secret)
			}
		}
	}
}

func (c noToken) reasonFor(onBehalf bool) string {
	if onBehalf && c.userReason != "" {
		return c.userReason
	}
	return c.reason
}

// spans looks for the issuer in both traces.
func (c noToken) spans(t *testing.T, w *watched, host attributes, first, second told, onBehalf bool) {
	t.Helper()
	for _, s := range w.collector.named("invoke_agent") {
		if s.trace == first.TraceID || s.trace == second.TraceID {
			t.Errorf("the agent is blamed: %+v", s)
		}
	}
	fetches := map[string]span{}
	for _, s := range w.collector.named("fetch_token") {
		if s.attrs["error.type"] != "" {
			fetches[s.trace] = s
		}
	}
	for i, a := range []told{first, second} {
		f := fetches[a.TraceID]
		if f.attrs["error.type"] != "token_unavailable" || !f.failed || f.described || !f.attrs.has(host) || f.attrs["parley.token.for"] != "agent" ||
			f.attrs["parley.failure.reason"] != c.reasonFor(onBehalf) || f.attrs["parley.token.error_code"] != c.code {
			t.Errorf("span of the fetch of request %d: %+v", i+1, f)
		}
	}
	for _, s := range w.collector.server() {
		if (s.trace == first.TraceID || s.trace == second.TraceID) && (s.attrs["error.type"] != "token_unavailable" || s.attrs["parley.failure.stage"] != "token" ||
			s.attrs["parley.failure.reason"] != c.reasonFor(onBehalf)) {
			t.Errorf("span of a request: %+v", s)
		}
	}
	want := c.status
	if want == "" {
		want = "token_unavailable"
	}
	failed := 0
	for _, s := range append(w.collector.named("POST"), w.collector.named("GET")...) {
		if s.parent != fetches[first.TraceID].id || s.attrs["error.type"] == "" {
			continue
		}
		failed++
		if s.kind != "SPAN_KIND_CLIENT" || !s.failed || s.attrs["error.type"] != want || !s.attrs.has(host) || !strings.HasPrefix(s.attrs["url.full"], "https://") {
			t.Errorf("span of an HTTP request: %+v", s)
		}
	}
	if c.noRequest != (failed == 0) {
		t.Errorf("%d HTTP requests failed", failed)
	}
}
