package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"parley/server"
	"parley/server/auth"
)

// Every answer names its trace, whatever it says and however early it was given. Where
// spans are exported it is that of the request's span.
func TestEveryAnswerNamesItsTrace(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"index.html": "<p>hello", "app.js": "hello()"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name    string
		changes []change
		asks    func(w *watched, ask func(status int, method, path, body string, header ...string))
	}{
		{name: "what goes well", asks: func(w *watched, ask func(int, string, string, string, ...string)) {
			for _, r := range server.Routes() {
				id := w.start()
				status := http.StatusOK
				if r.Method == http.MethodDelete || strings.HasSuffix(r.Pattern, "/stop") || strings.HasSuffix(r.Pattern, "/stream") {
					status = http.StatusNoContent
				}
				ask(status, r.Method, pathOf(r, id), bodyFor(r, id))
			}
			ask(200, "POST", "/api/chat/start", "", "Accept", "text/event-stream")
			for _, path := range []string{"/health", "/livez", "/readyz", "/openapi.yaml", "/", "/app.js", "/a/page"} {
				ask(200, "GET", path, "")
			}
			ask(200, "HEAD", "/api/chat/conversations", "")
			ask(206, "GET", "/app.js", "", "Range", "bytes=0-1")
		}},
		{name: "what fails", asks: func(w *watched, ask func(int, string, string, string, ...string)) {
			ask(404, "GET", "/api/nothing", "")
			ask(404, "GET", "/api//chat/send", "")
			ask(404, "GET", "/missing.js", "")
			ask(404, "GET", "/api/chat/conversations/"+nobody(), "")
			ask(405, "GET", "/api/chat/send", "")
			ask(405, "POST", "/health", "")
			ask(405, "POST", "/app.js", "")
			ask(405, "PROPFIND", "/api/chat/send", "")
			ask(400, "POST", "/api/chat/send", "{}")
			ask(400, "GET", "/api/chat/conversations?limit=0", "")
			ask(413, "POST", "/api/chat/send", strings.Repeat("x", 300<<10))
			ask(415, "POST", "/api/chat/send", "{}", "Content-Type", "text/plain")
			ask(403, "POST", "/api/chat/start", "", "Origin", "https://evil.example")
			ask(502, "POST", "/api/chat/orchestrate", `{"query":"/status 500"}`)
			ask(204, "OPTIONS", "/api/chat/send", "", "Origin", "https://chat.example", "Access-Control-Request-Method", "POST")
			ask(204, "OPTIONS", "/api/chat/send", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "POST")
			ask(405, "OPTIONS", "/api/chat/send", "")
		}},
		{name: "nobody signed in", changes: []change{verdictOf(auth.ErrUnauthenticated)}, asks: func(w *watched, ask func(int, string, string, string, ...string)) {
			for _, r := range server.Routes() {
				ask(401, r.Method, pathOf(r, nobody()), bodyFor(r, nobody()))
			}
		}},
		{name: "panics", changes: []change{storeDoes(func(context.Context) error { panic("at the disco") })}, asks: func(w *watched, ask func(int, string, string, string, ...string)) {
			for _, r := range server.Routes() {
				ask(500, r.Method, pathOf(r, nobody()), bodyFor(r, nobody()))
			}
		}},
		{name: "shutting down", asks: func(w *watched, ask func(int, string, string, string, ...string)) {
			if err := w.server.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			ask(503, "POST", "/api/chat/start", "")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := watch(t, "http/protobuf", append([]change{func(c *config, _ *seams) { c.staticDir, c.corsOrigin = dir, "https://chat.example" }}, c.changes...)...)
			form := regexp.MustCompile(`^00-([0-9a-f]{32})-[0-9a-f]{16}-0[01]$`)
			named := map[string]string{}
			c.asks(w, func(status int, method, path, body string, header ...string) {
				t.Helper()
				a := w.ask(method, path, body, header...)
				m := form.FindStringSubmatch(a.header.Get("Traceparent"))
				if a.status != status || m == nil || a.TraceID != "" && a.TraceID != m[1] {
					t.Errorf("%s %s: %d, traceparent %q: %s", method, path, a.status, a.header.Get("Traceparent"), a.body)
					return
				}
				named[m[1]] = method + " " + path
			})
			w.end()
			for _, s := range w.collector.server() {
				delete(named, s.trace)
			}
			if len(named) > 0 {
				t.Errorf("of no span: %v", named)
			}
		})
	}
}
