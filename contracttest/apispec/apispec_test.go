package apispec

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	jsonType    = "application/json"
	problemType = "application/problem+json"
	id          = "00000000-0000-7000-8000-000000000001"
)

// parse reads the document of the service, which is what this is used on.
func parse(t *testing.T) *Document {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "server", "openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// exchange is a line of a table of exchanges.
type exchange struct {
	method, path, sent string
	status             int
	media, body        string
	wrong              bool
}

const (
	sent    = `{"conversationId":"` + id + `","text":"hello"}`
	message = `{"id":"` + id + `","turn":1,"role":"assistant","kind":"text","text":"Yes."}`
	answer  = `{"conversationId":"` + id + `","messages":[` + message + `],"workflowState":{"step":"initial","collectedData":{},"turnCount":1,"status":"active"}}`
	problem = `{"type":"urn:parley:problem:store_full","title":"t","status":503,"detail":"d","class":"store_full","error":"store_full","message":"m","retryable":true,"traceId":"x"}`
)

// traceparent is on every answer of the service.
const traceparent = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"

func event(name, data string) string { return "event: " + name + "\ndata: " + data + "\n\n" }

var exchanges = map[string]exchange{
	"an answer":                        {"POST", "/api/chat/send", sent, 200, jsonType, answer, false},
	"a field that nobody documented":   {"POST", "/api/chat/send", sent, 200, jsonType, answer[:len(answer)-1] + `,"extra":1}`, true},
	"the same, further in":             {"POST", "/api/chat/send", sent, 200, jsonType, strings.Replace(answer, `"turn"`, `"x":1,"turn"`, 1), true},
	"a field that is missing":          {"POST", "/api/chat/send", sent, 200, jsonType, `{"messages":[]}`, true},
	"a field of another type":          {"POST", "/api/chat/send", sent, 200, jsonType, strings.Replace(answer, `"turn":1`, `"turn":"1"`, 1), true},
	"an id that is none":               {"POST", "/api/chat/send", sent, 200, jsonType, strings.Replace(answer, id, "7", 1), true},
	"an answer of another type":        {"POST", "/api/chat/send", sent, 200, "text/html", answer, true},
	"no JSON":                          {"POST", "/api/chat/send", sent, 200, jsonType, "{", true},
	"a bad request that succeeds":      {"POST", "/api/chat/send", `{"text":""}`, 200, jsonType, answer, true},
	"a bad request that is refused":    {"POST", "/api/chat/send", `{"text":""}`, 503, problemType, problem, false},
	"a bad id that succeeds":           {"DELETE", "/api/chat/conversations/7", "", 204, "", "", true},
	"a start without a body":           {"POST", "/api/chat/start", "", 200, jsonType, answer, false},
	"a start with another body":        {"POST", "/api/chat/start", "[]", 200, jsonType, answer, true},
	"a class that nobody documented":   {"POST", "/api/chat/send", sent, 503, problemType, strings.ReplaceAll(problem, "store_full", "store_odd"), true},
	"a problem as plain JSON":          {"POST", "/api/chat/send", sent, 503, jsonType, problem, true},
	"a status that nobody documented":  {"GET", "/livez", "", 204, "", "", true},
	"no such route":                    {"GET", "/api/x", "", 404, problemType, problem, false},
	"no such route, as text":           {"GET", "/api/x", "", 404, "text/plain", "no", true},
	"no such route, and it answers":    {"GET", "/api/x", "", 200, jsonType, "{}", true},
	"no such route, half a problem":    {"GET", "/x", "", 404, problemType, "{}", true},
	"a page of the front end":          {"GET", "/chat", "", 200, "text/html", "<html>", false},
	"a head":                           {"HEAD", "/health", "", 200, jsonType, "", false},
	"a preflight":                      {"OPTIONS", "/api/chat/send", "", 204, "", "", false},
	"a stream":                         {"POST", "/api/chat/send", sent, 200, eventStream, ":\n\n" + event("message", message) + event("done", answer), false},
	"a stream that was cut off":        {"POST", "/api/chat/send", sent, 200, eventStream, event("message", message) + "event: do", false},
	"a stream that fails":              {"POST", "/api/chat/send", sent, 200, eventStream, event("error", problem), false},
	"an event that nobody documented":  {"POST", "/api/chat/send", sent, 200, eventStream, event("hint", message), true},
	"an event of another's shape":      {"POST", "/api/chat/send", sent, 200, eventStream, event("delta", message), true},
	"an event after the end":           {"POST", "/api/chat/send", sent, 200, eventStream, event("done", answer) + event("message", message), true},
	"a stream where there is none":     {"GET", "/api/chat/conversations", "", 200, eventStream, event("done", answer), true},
	"a stream of a bad request":        {"POST", "/api/chat/send", "{}", 200, eventStream, event("done", answer), true},
	"a status that is for the log":     {"POST", "/api/chat/send", sent, 499, "", "", true},
	"a failure without a problem body": {"POST", "/api/chat/send", sent, 503, "", "", true},
}

func (x exchange) request(base string) *http.Request {
	r, _ := http.NewRequest(x.method, base+x.path, strings.NewReader(x.sent)) //nolint:noctx // sent by the test at once
	r.Header.Set("Content-Type", jsonType)
	return r
}

func TestCheck(t *testing.T) {
	d := parse(t)
	for name, x := range exchanges {
		header := http.Header{"Traceparent": {traceparent}}
		if x.media != "" {
			header.Set("Content-Type", x.media)
		}
		err := d.Check(Exchange{Request: x.request("http://parley"), Sent: []byte(x.sent), Status: x.status, Header: header, Body: []byte(x.body)})
		if (err != nil) != x.wrong {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An answer that does not name its trace, or not as it should, is not documented.
func TestCheckWantsTheTrace(t *testing.T) {
	d := parse(t)
	for _, named := range []string{"", "x", strings.ToUpper(traceparent), traceparent + "-more"} {
		x := exchanges["an answer"]
		header := http.Header{"Content-Type": {x.media}}
		if named != "" {
			header.Set("Traceparent", named)
		}
		if d.Check(Exchange{Request: x.request("http://parley"), Sent: []byte(x.sent), Status: x.status, Header: header, Body: []byte(x.body)}) == nil {
			t.Errorf("traceparent %q is let through", named)
		}
	}
}

// The transport sees what the check sees, whether an answer is read to its end or
// closed before.
func TestTransport(t *testing.T) {
	d := parse(t)
	for name, x := range exchanges {
		if x.method == http.MethodHead {
			continue // a server sends something else
		}
		for _, read := range []bool{true, false} {
			if x.media == eventStream && !read {
				continue // what was not read of a stream is not waited for
			}
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if got, _ := io.ReadAll(r.Body); string(got) != x.sent {
					t.Errorf("%s: the server gets %q", name, got)
				}
				w.Header().Set("Traceparent", traceparent)
				if x.media != "" {
					w.Header().Set("Content-Type", x.media)
				}
				w.WriteHeader(x.status)
				_, _ = io.WriteString(w, x.body)
			}))
			var wrong error
			client := &http.Client{Transport: d.Transport(http.DefaultTransport, func(err error) { wrong = err })}
			resp, err := client.Do(x.request(web.URL))
			if err != nil {
				t.Fatal(err)
			}
			if read {
				if got, _ := io.ReadAll(resp.Body); string(got) != x.body {
					t.Errorf("%s: the client gets %q", name, got)
				}
			}
			_ = resp.Body.Close()
			web.Close()
			if (wrong != nil) != x.wrong {
				t.Errorf("%s, read %v: %v", name, read, wrong)
			}
		}
	}
}

func TestParse(t *testing.T) {
	for _, bad := range []string{"", "openapi: 3.1.0", "{", "openapi: 3.1.0\ninfo: {title: t, version: v}\npaths: {}"} {
		if _, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%q passes for a document", bad)
		}
	}
}
