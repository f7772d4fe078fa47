package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"parley/server/auth"
)

// TEL-10: the line and the span of a request have the same hash of its owner: a turn,
// a deletion, a refusal. A request whose owner is not certain has none.
func TestSpansAndLinesTellTheSameOwner(t *testing.T) {
	for name, c := range map[string]struct {
		refused error
		owner   bool
	}{
		"let in":                  {owner: true},
		"turned away":             {refused: &auth.ForbiddenError{Tenant: "tenant-1", User: "user-1"}, owner: true},
		"turned away, by no name": {refused: auth.ErrForbidden},
		"not recognized":          {refused: auth.ErrUnauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			w := watch(t, "http/protobuf", verdictOf(c.refused))
			id := nobody()
			if c.refused == nil {
				id = w.start()
				w.send(id, "hello")
			}
			w.ask("DELETE", "/api/chat/conversations/"+id, "")
			w.ask("GET", "/api/chat/conversations", "")
			w.end()

			spans := map[string]string{} // the hash of a request, by its span
			for _, s := range w.collector.server() {
				spans[s.id] = s.attrs["parley.owner.hash"]
			}
			seen := map[string]bool{}
			for _, l := range w.lines() {
				hash, _ := l["owner_hash"].(string)
				if (len(hash) == 16) != c.owner || hash != spans[fmt.Sprint(l["span_id"])] {
					t.Errorf("line %v, spans %v", l, spans)
				}
				seen[hash] = true
			}
			if len(seen) != 1 || len(spans) < 2 {
				t.Errorf("hashes %v of spans %v", seen, spans)
			}
			for _, text := range []string{w.log.String(), string(w.collector.raw)} {
				if strings.Contains(text, "tenant-1") || strings.Contains(text, "user-1") {
					t.Error("the owner is named")
				}
			}
		})
	}
}

// TRACE_TRUST decides whose trace an answer names.
func TestTraceTrust(t *testing.T) {
	const theirs = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
	for setting, kept := range map[string]bool{"": false, "link": false, "none": false, "parent": true} {
		w := &watched{t: t, base: startService(t, &sharedBuffer{}, "COPILOT_EMULATOR", "true", "TRACE_TRUST", setting)}
		a := w.ask("GET", "/nowhere", "", "Traceparent", theirs)
		named := a.header.Get("Traceparent")
		if a.status != http.StatusNotFound || (named == theirs) != kept || len(named) != len(theirs) || a.TraceID != named[3:35] || kept != strings.Contains(named, theirs[3:35]) {
			t.Errorf("%q: the answer names %s, its body %s", setting, named, a.TraceID)
		}
	}
}
