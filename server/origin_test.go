package server

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/fstest"
)

const itsOwn = "https://chat.example"

// serve carries out a request and gives the status.
func serve(w *harness, r *http.Request) int {
	rec := httptest.NewRecorder()
	w.server.ServeHTTP(rec, r)
	return rec.Code
}

// unguarded is a service without sign-in, with a front end and another page that
// may call it.
func unguarded(t *testing.T, change ...func(*Config)) *harness {
	t.Helper()
	return newHarness(t, nil, append([]func(*Config){func(c *Config) {
		c.CORSOrigin, c.Static = itsOwn, fstest.MapFS{"index.html": {Data: []byte("<html>front")}}
	}}, change...)...)
}

// With authentication off, no page of another site can change anything, with a
// body or without; everybody else can go on.
func TestPagesOfOtherSites(t *testing.T) {
	w := unguarded(t)
	for name, c := range map[string]struct {
		headers []string // names and values
		ok      bool
	}{
		"no browser":                    {nil, true},
		"own page":                      {[]string{"Sec-Fetch-Site", "same-origin", "Origin", "http://example.com"}, true},
		"own page behind a proxy":       {[]string{"Sec-Fetch-Site", "same-origin", "Origin", "https://front.example"}, true},
		"own page, old browser":         {[]string{"Origin", "http://example.com"}, true},
		"typed by the user":             {[]string{"Sec-Fetch-Site", "none"}, true},
		"page of CORS_ORIGIN":           {[]string{"Sec-Fetch-Site", "cross-site", "Origin", itsOwn}, true},
		"page of CORS_ORIGIN, same":     {[]string{"Sec-Fetch-Site", "same-site", "Origin", itsOwn}, true},
		"page of CORS_ORIGIN, old":      {[]string{"Origin", itsOwn}, true},
		"another site":                  {[]string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, false},
		"another site without a name":   {[]string{"Sec-Fetch-Site", "cross-site"}, false},
		"another page of the same site": {[]string{"Sec-Fetch-Site", "same-site", "Origin", "https://other.chat.example"}, false},
		"sandboxed page":                {[]string{"Sec-Fetch-Site", "cross-site", "Origin", "null"}, false},
		"another site, old browser":     {[]string{"Origin", "https://evil.example"}, false},
		"sandboxed page, old browser":   {[]string{"Origin", "null"}, false},
		"CORS_ORIGIN without TLS":       {[]string{"Sec-Fetch-Site", "cross-site", "Origin", "http://chat.example"}, false},
		"a name that begins like it":    {[]string{"Origin", itsOwn + ".evil.example"}, false},
	} {
		with := func(call call) call {
			for pair := range slices.Chunk(c.headers, 2) {
				call = call.with(pair[0], pair[1])
			}
			return call
		}
		id := w.start()
		for _, ask := range []call{
			{Method: "POST", Path: "/api/chat/start"},
			post("/api/chat/start", "{}"), send(id, "hello"),
			{Method: "PATCH", Path: "/api/chat/conversations/" + id, Body: `{"status":"completed"}`, Headers: map[string]string{"Content-Type": "application/json"}},
			{Method: "DELETE", Path: "/api/chat/conversations/" + id},
		} {
			before := w.agent.asked()
			rec := w.do(with(ask))
			if rec.Code/100 == 2 != c.ok || !c.ok && (rec.Code != http.StatusForbidden || field[string](t, rec, "class") != "forbidden" || w.agent.asked() != before) {
				t.Errorf("%s: %s %s: %d %s", name, ask.Method, ask.Path, rec.Code, rec.Body)
			}
		}
		for _, path := range []string{"/", "/health", "/api/chat/conversations"} {
			w.must(200, with(get(path))) // which the page may not read without CORS
		}
		w.must(204, with(call{Method: "OPTIONS", Path: "/api/chat/send"}).with("Access-Control-Request-Method", "POST"))
	}
}

// A service that listens on this machine only answers to its names only, or a page
// whose name has come to mean this machine could read everything.
func TestHostOnLoopback(t *testing.T) {
	for host, ok := range map[string]bool{
		"localhost": true, "localhost:3001": true, "LocalHost:1": true, "localhost.:3001": true, "parley.localhost:3001": true,
		"127.0.0.1": true, "127.0.0.1:3001": true, "127.8.9.1:3001": true, "[::1]": true, "[::1]:3001": true, "[::ffff:127.0.0.1]:1": true,
		"chat.example": true, "chat.example:8443": true, "": true,
		"evil.example": false, "evil.example:3001": false, "localhost.evil.example": false, "127.0.0.1.evil.example": false, "evillocalhost": false,
		"128.0.0.1": false, "[::2]:3001": false, "0.0.0.0:3001": false, "169.254.169.254": false, "evil.example:127.0.0.1": false, "2130706433": false,
		"other.chat.example": false, "localhost@evil.example": false, "localhost:3001.evil.example": false,
	} {
		w := unguarded(t, func(c *Config) { c.Loopback = true })
		for _, path := range []string{"/", "/health", "/livez", "/openapi.yaml", "/api/chat/conversations", "/nowhere.js"} {
			r := get(path).request(t.Context())
			r.Host = host
			status := serve(w, r)
			if (status == http.StatusForbidden) == ok {
				t.Errorf("%q: %s: %d", host, path, status)
			}
		}
	}
}

// Where callers show tokens, or others can reach the service by any name, neither
// is asked for.
func TestPagesWhereTokensAreShown(t *testing.T) {
	guarded := unguarded(t, func(c *Config) {
		c.AuthRequired, c.Auth, c.Loopback = true, nameVerifier{}, true
	})
	r := post("/api/chat/start", "{}").with("Authorization", "Bearer u").with("Origin", "https://evil.example").request(t.Context())
	r.Host = "evil.example"
	if status := serve(guarded, r); status != 200 {
		t.Errorf("with a token: %d", status)
	}
	everywhere := unguarded(t)
	r = get("/api/chat/conversations").request(t.Context())
	r.Host = "parley.internal:3001"
	if status := serve(everywhere, r); status != 200 {
		t.Errorf("by another name: %d", status)
	}
}

func TestIsLoopback(t *testing.T) {
	for host, want := range map[string]bool{"localhost": true, "::1": true, "127.0.0.1": true, "a.localhost": true, "": false, "0.0.0.0": false, "::": false, "parley": false} {
		if IsLoopback(host) != want {
			t.Errorf("%q: %v", host, !want)
		}
	}
}
