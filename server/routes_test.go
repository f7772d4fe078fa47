package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"go.yaml.in/yaml/v3"

	"parley/server/auth"
)

func TestMethodsAndPathsThatAreNotThere(t *testing.T) {
	w := newHarness(t, nil)
	allow := allowed(w.server.routes())
	for pattern, methods := range allow {
		path := strings.ReplaceAll(pattern, "{id}", unknown)
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} {
			if slices.Contains(strings.Split(methods, ", "), method) {
				continue
			}
			rec := w.must(http.StatusMethodNotAllowed, call{Method: method, Path: path})
			if got := rec.Header().Get("Allow"); got != methods {
				t.Errorf("%s %s: Allow %q, want %q", method, path, got, methods)
			}
			if got := rec.Header().Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("%s %s: %s", method, path, got)
			}
			if got := w.lastDone().Route; got != pattern {
				t.Errorf("%s %s: route %q", method, path, got)
			}
		}
	}
	if got := allow["/api/chat/conversations/{id}"]; got != "DELETE, GET, HEAD, PATCH" {
		t.Errorf("Allow %q", got)
	}
	for _, path := range []string{"/", "/api", "/api/chat", "/api/chat/start/", "/api/chat/conversations/", "/api/chat/conversations/" + unknown + "/x", "/metrics", "/.env", "/api//chat/send", "/api/./chat/send", "/x/../livez", "/livez/.."} {
		rec := w.must(http.StatusNotFound, get(path))
		if field[string](t, rec, "class") != "not_found" || w.lastDone().Route != "" {
			t.Errorf("%s: %s", path, rec.Body)
		}
	}
	if w.agent.asked() != 0 || len(w.store.callNames()) != 0 {
		t.Error("somebody was asked")
	}
}

func TestHeadGoesWhereGetDoes(t *testing.T) {
	w := newHarness(t, nil)
	srv := httptest.NewServer(w.server)
	defer srv.Close()
	id := w.start()
	for _, path := range []string{"/health", "/livez", "/readyz", "/openapi.yaml", "/api/chat/conversations", "/api/chat/conversations/" + id} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, srv.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("HEAD %s: %d", path, res.StatusCode)
		}
	}
}

// The mux writes the pattern on the request it is given, and a handler around
// the server must find it there.
func TestPatternIsSeenFromOutside(t *testing.T) {
	w := newHarness(t, nil, func(c *Config) { c.CORSOrigin = "https://chat.example" })
	r := get("/api/chat/conversations/" + unknown).request(t.Context())
	w.server.ServeHTTP(httptest.NewRecorder(), r)
	if r.Pattern != "GET /api/chat/conversations/{id}" {
		t.Errorf("pattern %q", r.Pattern)
	}
}

func TestConfigIsChecked(t *testing.T) {
	if _, err := New(Config{}); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("an empty Config: %v", err)
	}
	w := newHarness(t, nil)
	for name, change := range map[string]func(*Config){
		"star":          func(c *Config) { c.CORSOrigin = "*" },
		"wildcard":      func(c *Config) { c.CORSOrigin = "https://*.example" },
		"path":          func(c *Config) { c.CORSOrigin = "https://chat.example/" },
		"default port":  func(c *Config) { c.CORSOrigin = "https://chat.example:443" },
		"empty port":    func(c *Config) { c.CORSOrigin = "https://chat.example:" },
		"not ASCII":     func(c *Config) { c.CORSOrigin = "https://müller.example" },
		"no verifier":   func(c *Config) { c.AuthRequired = true; c.Auth = nil },
		"lets everyone": func(c *Config) { c.AuthRequired = true; c.Auth = auth.Anyone{Tenant: "t", User: "u"} },
	} {
		cfg := w.server.cfg
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// verifier decides by the header's text.
type verifier struct{}

func (verifier) Verify(_ context.Context, header string) (auth.Principal, error) {
	switch header {
	case "Bearer good":
		return auth.Principal{Tenant: "t", User: "u"}, nil
	case "Bearer half":
		return auth.Principal{Tenant: "t"}, nil
	case "Bearer tenant":
		return auth.Principal{}, fmt.Errorf("x: %w", auth.ErrForbidden)
	case "Bearer outage":
		return auth.Principal{}, errors.Join(auth.ErrUnavailable)
	}
	return auth.Principal{}, auth.ErrUnauthenticated
}

func TestWhoIsLetIn(t *testing.T) {
	w := newHarness(t, nil, func(c *Config) { c.AuthRequired, c.Auth = true, verifier{} })
	for header, want := range map[string]int{"": 401, "Bearer bad": 401, "Bearer half": 401, "Bearer tenant": 403, "Bearer outage": 503, "Bearer good": 200} {
		for _, rt := range w.server.routes() {
			c := call{Method: rt.method, Path: strings.ReplaceAll(rt.pattern, "{id}", unknown)}.with("Authorization", header)
			rec := w.do(c)
			if rt.open {
				if rec.Code != http.StatusOK {
					t.Errorf("%s asks who it is: %d", rt.pattern, rec.Code)
				}
				continue
			}
			if want != 200 && rec.Code != want || want == 200 && rec.Code == 401 {
				t.Errorf("%s %s with %q: %d", rt.method, rt.pattern, header, rec.Code)
			}
			if d := w.lastDone(); want != 200 && d.Stage != StageAuth {
				t.Errorf("stage %q", d.Stage)
			}
			if reason := reasonIn(t, rec); (rec.Code == 401) != (reason != "") {
				t.Errorf("%s with %q: %d with the reason %q", rt.pattern, header, rec.Code, reason)
			}
			challenge := rec.Header().Get("WWW-Authenticate")
			if (rec.Code == 401) != (challenge != "") || header == "" && challenge != "Bearer" {
				t.Errorf("WWW-Authenticate %q for %q", challenge, header)
			}
		}
	}
}

// TEL-09: every answer names its trace: the one of the span, else one of its own. What the
// caller sends is not taken over.
func TestIDsOfARequest(t *testing.T) {
	const theirs = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
	const ours = "00-11111111111111111111111111111111-2222222222222222-01"
	for name, span := range map[string]func(context.Context) string{
		"telemetry": func(context.Context) string { return ours },
		"no span":   func(context.Context) string { return "" },
		"none":      nil,
	} {
		var log bytes.Buffer
		w := newHarness(t, nil, func(c *Config) {
			c.Traceparent, c.CORSOrigin = span, "https://chat.example"
			c.Log = slog.New(slog.NewJSONHandler(&log, nil))
		})
		for _, req := range []call{get("/x"), get("/livez"), get("/api/chat/conversations"), post("/api/chat/start", "{}"), post("/livez", "{}")} {
			log.Reset()
			rec := w.do(req.with("Traceparent", theirs).with("Origin", "https://chat.example"))
			got := rec.Header().Get("Traceparent")
			if (got == ours) != (name == "telemetry") || !regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$`).MatchString(got) || got[3:35] == theirs[3:35] {
				t.Errorf("%s: %s answers with traceparent %q", name, req.Path, got)
			}
			if !strings.Contains(log.String(), `"trace_id":"`+got[3:35]+`"`) || rec.Code >= 400 && field[string](t, rec, "traceId") != got[3:35] {
				t.Errorf("%s: %s: other ids in %s or %s", name, req.Path, rec.Body, &log)
			}
			if exposed := rec.Header().Get("Access-Control-Expose-Headers"); !strings.Contains(strings.ToLower(exposed), "traceparent") {
				t.Errorf("exposed: %s", exposed)
			}
		}
	}
	w := newHarness(t, nil)
	for id, kept := range map[string]bool{"abc-1": true, "a b": false, "": false, strings.Repeat("a", 129): false, "é": false} {
		if got := w.do(get("/x").with("X-Request-Id", id)).Header().Get("X-Request-Id"); (got == id) != kept || got == "" {
			t.Errorf("%q gives %q", id, got)
		}
	}
}

// The document, the routes and the table of failures say the same.
func TestOpenAPIMatches(t *testing.T) {
	w := newHarness(t, nil)
	rec := w.must(200, get("/openapi.yaml"))
	var doc struct {
		Paths      map[string]map[string]any
		Components struct {
			Schemas struct {
				FailureClass struct{ Enum []string }      `yaml:"FailureClass"`
				SignInReason struct{ Enum []auth.Reason } `yaml:"SignInReason"`
			}
		}
	}
	if err := yaml.Unmarshal(rec.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for path, methods := range doc.Paths {
		for method := range methods {
			if method != "parameters" {
				documented[strings.ToUpper(method)+" "+path] = true
			}
		}
	}
	for _, rt := range w.server.routes() {
		if name := rt.method + " " + rt.pattern; !documented[name] {
			t.Errorf("%s is not documented", name)
		} else {
			delete(documented, name)
		}
	}
	for name := range documented {
		t.Errorf("%s is documented and not there", name)
	}
	var classes []string
	for f := range Failures() {
		classes = append(classes, f.Class)
	}
	if !slices.Equal(classes, doc.Components.Schemas.FailureClass.Enum) {
		t.Errorf("classes in the table %v, in the document %v", classes, doc.Components.Schemas.FailureClass.Enum)
	}
	if reasons := doc.Components.Schemas.SignInReason.Enum; !slices.Equal(auth.Reasons(), reasons) {
		t.Errorf("reasons of auth %v, in the document %v", auth.Reasons(), reasons)
	}
}

func TestStatic(t *testing.T) {
	files := fstest.MapFS{
		"index.html":       {Data: []byte("<html>front")},
		"assets/app.js":    {Data: []byte("app()")},
		".env":             {Data: []byte("SECRET")},
		".git/config":      {Data: []byte("SECRET")},
		"assets/.htpasswd": {Data: []byte("SECRET")},
	}
	w := newHarness(t, nil, func(c *Config) { c.Static = files })
	for path, want := range map[string]string{
		"/": "<html>front", "/index.html": "<html>front", "/chat/7": "<html>front", "/assets/": "<html>front",
		"/assets/app.js": "app()",
	} {
		rec := w.must(200, get(path))
		if rec.Body.String() != want || rec.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %q", path, rec.Body)
		}
	}
	for _, path := range []string{"/.env", "/.git/config", "/assets/.htpasswd", "/assets/gone.js", "/api", "/api/x", "/API/x", "/a%5c..%5cb", "/a%00", "/.%67it/config"} {
		rec := w.must(404, get(path))
		if rec.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %v", path, rec.Header())
		}
	}
	rec := w.must(405, call{Method: "POST", Path: "/chat/7"})
	if rec.Header().Get("Allow") != "GET, HEAD" {
		t.Error(rec.Header())
	}
}

// Whoever adds a route has its requests counted, unless it is one of these.
func TestRoutesThatAreNotCounted(t *testing.T) {
	beside := []string{"/health", "/livez", "/readyz", "/openapi.yaml", "/client.js", "/client.d.ts"}
	w := newHarness(t, nil)
	for _, rt := range w.server.routes() {
		counts := !slices.Contains(beside, rt.pattern)
		for _, method := range []string{rt.method, "PROPFIND"} {
			w.do(call{Method: method, Path: strings.ReplaceAll(rt.pattern, "{id}", unknown)})
			if got := w.lastDone().API; got != counts {
				t.Errorf("%s %s: counted is %v", method, rt.pattern, got)
			}
		}
		if slices.Contains(Routes(), Route{rt.method, rt.pattern}) != counts {
			t.Errorf("Routes and Done.API differ about %s %s", rt.method, rt.pattern)
		}
	}
}
