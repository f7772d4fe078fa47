package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"parley/store"
)

// TEL-02: nothing that a user or an agent wrote, no token, no key and no name is
// in any exported byte or line of the log, whichever route it came by and
// however the request ended. Each secret has a mark, so that a find says what
// leaked.
func TestNothingPersonalLeavesTheProcess(t *testing.T) {
	secret := func(what string) string { return "S3CR3T" + what }
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			w := watch(t, protocol, verdictOf(nil))
			bearer := []string{"Authorization", "Bearer " + secret("Token"), "Idempotency-Key", secret("Key"), "User-Agent", secret("Agent"), "Cookie", secret("Cookie")}
			post := func(path, body string) told { return w.ask("POST", path, body, bearer...) }

			conversation := post("/api/chat/start", "").Conversation
			if conversation == "" {
				t.Fatal("no conversation")
			}
			say := func(text string) string {
				return fmt.Sprintf(`{"conversationId":%q,"text":%q,"workflowContext":{"step":%q,"constraints":[%q],"collectedData":{"mail":%q}}}`,
					conversation, text, secret("Step"), secret("Constraint"), secret("Mail")+"@example.com")
			}
			card := func(action string) string {
				return fmt.Sprintf(`{"conversationId":%q,"cardId":%q,"userSummary":%q,"submitData":{"action":%q,"name":%q}}`,
					conversation, secret("Card"), secret("Summary"), action, secret("Name"))
			}
			key := 0
			fresh := func() { key++; bearer[3] = fmt.Sprint(secret("Key"), key) }
			each := []func(){
				func() { post("/api/chat/send", say(secret("Text"))) },
				func() { post("/api/chat/send", say(secret("Again"))) }, // the same key: 422
				func() { fresh(); post("/api/chat/card-action", card("Action.Submit")) },
				func() { fresh(); post("/api/chat/card-action", card(secret("Action"))) },
				func() { fresh(); post("/api/chat/orchestrate", fmt.Sprintf(`{"query":%q}`, secret("Query"))) },
				func() { fresh(); post("/api/chat/send", `{"conversationId":"`+secret("ID")+`","text":"x"}`) },
				func() { fresh(); post("/api/chat/send", `{"`+secret("Field")+`":`) },
				func() { w.ask("GET", "/api/chat/conversations/"+secret("Path"), "", bearer...) },
				func() { w.ask("GET", "/api/chat/conversations?limit=3&cursor="+secret("Cursor"), "", bearer...) },
				func() { w.ask("GET", "/"+secret("Nowhere")+"?q="+secret("Query"), "", bearer...) },
				func() { w.ask(secret("METHOD"), "/api/chat/send", "", bearer...) },
				func() { w.ask("GET", "/api/chat/conversations/"+conversation, "", bearer...) },
				func() {
					w.ask("PATCH", "/api/chat/conversations/"+conversation, `{"status":"`+secret("Status")+`"}`, bearer...)
				},
			}
			// Every way in which the emulated agent can misbehave, with the user's
			// words around it.
			for _, command := range []string{"/error", "/cut", "/mid-cut", "/html", "/garbage", "/error-event", "/status 500", "/401", "/429 0", "/bad-id", "/payload value", "/restart"} {
				each = append(each, func() { fresh(); post("/api/chat/send", say(secret("Words")+"\n"+command)) })
			}
			cause := errors.New("dial " + secret("Cause"))
			for _, err := range []error{
				&store.Error{Op: "BeginTurn", Kind: store.ErrUnreachable, Cause: cause}, cause, context.Canceled,
			} {
				each = append(each, func() {
					fresh()
					w.store.begin = func(context.Context) error { return err }
					post("/api/chat/send", say(secret("Text")))
					w.store.begin = nil
				})
			}
			each = append(each,
				func() {
					fresh()
					w.store.begin = func(context.Context) error { panic(secret("Panic")) }
					post("/api/chat/send", say(secret("Text")))
					w.store.begin = nil
				},
				func() { w.ask("DELETE", "/api/chat/conversations/"+conversation, "", bearer...) },
			)
			for _, do := range each {
				do()
			}
			w.end()

			if len(w.collector.server()) != len(each)+1 {
				t.Errorf("%d requests were exported of %d: the search below proves nothing", len(w.collector.server()), len(each)+1)
			}
			for _, where := range []struct {
				name string
				data []byte
			}{{"exported", w.collector.raw}, {"logged", []byte(w.log.String())}} {
				if len(where.data) == 0 {
					t.Errorf("nothing was %s", where.name)
				}
				for _, mark := range []string{"S3CR3T", "tenant-1", "user-1"} {
					for data := where.data; ; {
						at := bytes.Index(data, []byte(mark))
						if at < 0 {
							break
						}
						t.Errorf("%s: %q", where.name, data[max(0, at-60):min(len(data), at+40)])
						data = data[at+len(mark):]
					}
				}
			}
			hash := ""
			for _, s := range w.collector.server() {
				if h := s.attrs["parley.owner.hash"]; h != "" {
					hash = h
				}
			}
			if len(hash) != 16 || strings.Contains(hash, "user") {
				t.Errorf("the owner shows as %q", hash)
			}
		})
	}
}

// Requests, spans of requests, lines of the log and turns are as many.
func TestCountsAgree(t *testing.T) {
	w := watch(t, "http/protobuf", func(c *config, _ *seams) { c.corsOrigin = "https://chat.example" })
	requests, turns := 0, 0
	turn := func(told) { requests++; turns++ }
	other := func(told) { requests++ }
	id := w.start()
	turn(told{})
	for range 5 {
		turn(w.send(id, "hello"))
		turn(w.send(id, "/error"))
		turn(w.send(id, "/cut"))
		turn(w.send(nobody(), "hello"))
		turn(w.ask("POST", "/api/chat/send", "{"))
		other(w.ask("GET", "/api/chat/send", ""))
		other(w.ask("GET", "/nowhere", ""))
		other(w.ask("GET", "//", ""))
		other(w.ask("GET", "/livez", ""))
		other(w.ask("GET", "/api/chat/conversations/"+id, ""))
		other(w.ask("OPTIONS", "/api/chat/send", "", "Origin", "https://chat.example", "Access-Control-Request-Method", http.MethodPost))
	}
	w.end()
	counts := map[string]int{
		"spans": len(w.collector.server()), "lines": len(w.lines()), "exported lines": len(w.collector.requests()),
		"durations": int(w.collector.sum("http.server.request.duration", nil)),
	}
	for name, n := range counts {
		if n != requests {
			t.Errorf("%d %s of %d requests", n, name, requests)
		}
	}
	if got := w.collector.sum("parley.turns", nil); got != float64(turns) {
		t.Errorf("%v turns of %d", got, turns)
	}
	if got := w.collector.sum("http.server.active_requests", nil); got != 0 {
		t.Errorf("%v requests still active", got)
	}
	for _, s := range w.collector.server() {
		if route := s.attrs["http.route"]; (route == "") != (s.name == s.attrs["http.request.method"]) {
			t.Errorf("span %q of route %q", s.name, route)
		}
	}
}
