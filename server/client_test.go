package server

import (
	"strings"
	"testing"
)

// Browsers keep the client as long as it is the same.
func TestClientIsServed(t *testing.T) {
	w := newHarness(t, nil)
	for path, c := range map[string]struct{ mime, text string }{
		"/client.js":   {"text/javascript", "export class Client"},
		"/client.d.ts": {"text/plain", "export class Client"},
	} {
		first := w.must(200, get(path))
		if mime := first.Header().Get("Content-Type"); !strings.HasPrefix(mime, c.mime) || !strings.Contains(first.Body.String(), c.text) {
			t.Errorf("%s is %s:\n%.80s", path, mime, first.Body)
		}
		tag := first.Header().Get("ETag")
		if again := w.must(304, get(path).with("If-None-Match", tag)); again.Body.Len() > 0 || again.Header().Get("ETag") != tag {
			t.Errorf("%s again: %d bytes, ETag %q after %q", path, again.Body.Len(), again.Header().Get("ETag"), tag)
		}
		w.must(200, get(path).with("If-None-Match", `"other"`))
	}
}

// The types have every class of failure: a front end decides by them.
func TestClientTypesHaveEveryClass(t *testing.T) {
	for f := range Failures() {
		if !strings.Contains(string(clientTypes), `"`+f.Class+`"`) {
			t.Errorf("client.d.ts lacks %s: make client", f.Class)
		}
	}
}
