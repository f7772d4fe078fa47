package main

import (
	"net/url"
	"os"
	"strings"
	"testing"

	"parley/server"
)

// The span of a request names the route that the API took it for, however its path is
// written, and the server as the configuration knows it.
func TestSpansOfRequests(t *testing.T) {
	w := watch(t, "http/protobuf", func(c *config, _ *seams) { c.host, c.corsOrigin = "0.0.0.0", "https://chat.example" })
	base, err := url.Parse(w.base)
	if err != nil {
		t.Fatal(err)
	}
	const conversation = "/api/chat/conversations/{id}"
	id := w.start()
	type want struct{ name, route, path string }
	var wants []want
	ask := func(method, path string, expected want, header ...string) {
		wants = append(wants, expected)
		w.ask(method, path, "", header...)
	}
	for _, r := range server.Routes() {
		pattern := strings.ReplaceAll(r.Pattern, "{id}", id)
		ask(r.Method, pattern, want{r.Method + " " + r.Pattern, r.Pattern, pattern})
	}
	for _, path := range server.Patterns() {
		ask("PROPFIND", strings.ReplaceAll(path, "{id}", "alice"), want{"_OTHER " + path, path, path})
	}
	ask("GET", "/api/chat/conversations/alice", want{"GET " + conversation, conversation, conversation})
	ask("GET", "/api/chat/conversations/a%2Fb", want{"GET " + conversation, conversation, conversation})
	ask("GET", "/api/chat/conversations/"+strings.Replace(id, "-", "%2D", 1), want{"GET " + conversation, conversation, "/api/chat/conversations/" + id})
	ask("GET", "/liv%65z", want{"GET /livez", "/livez", "/livez"})
	for _, path := range []string{"/alice", "/api/chat/conversations/", "/api/chat/conversations/..", "/api//chat/send", "/api%2Fchat/send", "/api/chat/conversations/a/b/c"} {
		ask("GET", path, want{"GET", "", "REDACTED"})
	}
	ask("OPTIONS", "/api/chat/send", want{"OPTIONS", "", "REDACTED"}, "Origin", "https://chat.example", "Access-Control-Request-Method", "POST")
	w.end()
	host, _ := os.Hostname()
	spans := w.collector.server()[1:] // the first began the conversation
	if len(spans) != len(wants) {
		t.Fatalf("%d spans, want %d", len(spans), len(wants))
	}
	for i, s := range spans {
		if got := (want{s.name, s.attrs["http.route"], s.attrs["url.path"]}); got != wants[i] {
			t.Errorf("%+v, want %+v", got, wants[i])
		}
		if s.attrs["server.address"] != host || s.attrs["server.port"] != base.Port() || s.attrs["network.protocol.version"] != "1.1" || s.attrs["url.scheme"] != "http" {
			t.Errorf("%s: %v", s.name, s.attrs)
		}
	}
}

func TestServerAddress(t *testing.T) {
	host, _ := os.Hostname()
	for setting, want := range map[string]string{"": host, "0.0.0.0": host, "::": host, "127.0.0.1": "127.0.0.1", "parley.example": "parley.example", "::1": "::1"} {
		if got := serverAddress(setting); got != want {
			t.Errorf("HOST=%s: %s, want %s", setting, got, want)
		}
	}
}

// A scrape leads from what a request took, and from what it came to, to its trace: if that
// is sampled, and of a failure also if it is not, because it is exported then as well.
func TestScrapesLeadToTraces(t *testing.T) {
	for _, sampler := range []string{"always_on", "always_off"} {
		t.Run(sampler, func(t *testing.T) {
			t.Setenv("OTEL_TRACES_SAMPLER", sampler)
			w := watch(t, "http/protobuf", func(c *config, _ *seams) { c.prometheus = true })
			failed, well := w.ask("POST", "/api/chat/send", `{}`), w.ask("GET", "/api/chat/conversations", "")
			page := string(w.ask("GET", "/metrics", "", "Accept", "application/openmetrics-text;version=1.0.0").body)
			traceOf := func(a told) string { return strings.Split(a.header.Get("Traceparent"), "-")[1] }
			leads := func(series string, a told) bool {
				for line := range strings.Lines(page) {
					if strings.HasPrefix(line, series) && strings.Contains(line, `trace_id="`+traceOf(a)+`"`) {
						return true
					}
				}
				return false
			}
			for series, c := range map[string]struct {
				to   told
				want bool
			}{
				`http_server_request_duration_seconds_bucket{error_type="invalid_request",`:                                        {failed, true},
				`parley_requests_total{http_request_method="POST",http_route="/api/chat/send",parley_outcome="invalid_request"} 1`: {failed, true},
				`http_server_request_duration_seconds_bucket{http_request_method="GET",http_response_status_code="200",`:           {well, sampler == "always_on"},
				`parley_requests_total{http_request_method="GET",http_route="/api/chat/conversations",parley_outcome="ok"} 1`:      {well, sampler == "always_on"},
			} {
				if leads(series, c.to) != c.want {
					t.Errorf("that %s leads to %s is %v", series, traceOf(c.to), !c.want)
				}
			}
			w.end()
			exported := false
			for _, s := range w.collector.server() {
				exported = exported || s.trace == failed.TraceID
			}
			if !exported {
				t.Error("the trace of the failure is not exported")
			}
		})
	}
}

// The id that a front end gives a request is on its span, in its line, in its answer and in
// what the agent is asked. Instead of one that is not safe to pass on there is one of ours.
func TestRequestID(t *testing.T) {
	w := watch(t, "http/protobuf")
	id := w.start()
	long := strings.Repeat("x", 128)
	var answered []string
	for i, theirs := range []string{"front-end/7f3a", long, "", long + "x", "two words", "schlüssel"} {
		before := len(w.emulator.Requests())
		a := w.ask("POST", "/api/chat/send", bodyFor(server.Route{Pattern: "/api/chat/send"}, id), "X-Request-Id", theirs)
		got, kept := a.header.Get("X-Request-Id"), i < 2
		if kept && got != theirs || !kept && (got == theirs || len(got) != 32) {
			t.Errorf("%q: the answer has %q", theirs, got)
		}
		if asked := w.emulator.Requests()[before:]; len(asked) != 1 || asked[0].RequestID != got {
			t.Errorf("%q: the agent is asked %+v", theirs, asked)
		}
		answered = append(answered, got)
	}
	w.ask("POST", "/api/chat/orchestrate", `{"query":"hello"}`, "X-Request-Id", "both")
	asked := w.emulator.Requests()
	if n := len(asked); asked[n-1].RequestID != "both" || asked[n-2].RequestID != "both" {
		t.Errorf("the agent is asked %+v", asked[n-2:])
	}
	w.end()
	ids := map[string]int{}
	for _, s := range w.collector.server() {
		ids[s.attrs["parley.request.id"]]++
	}
	logged := map[string]int{}
	for _, l := range w.lines() {
		request, _ := l["request_id"].(string)
		logged[request]++
		if ids[request] != 1 {
			t.Errorf("%d spans of %q", ids[request], request)
		}
	}
	for _, id := range answered {
		if logged[id] != 1 {
			t.Errorf("%d lines of %q", logged[id], id)
		}
	}
}
