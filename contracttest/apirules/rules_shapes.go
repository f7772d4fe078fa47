package apirules

import (
	"net/http"
	"slices"
	"strings"

	"parley/contracttest/claims"
)

// shape is a rule about what a route answers when all is well.
func shape(word string, route claims.Claim, needs []claims.Claim, check func(e *env)) Rule {
	return Rule{
		ID: "shape." + word, Chapter: "shapes", Sentence: string(route) + " answers as openapi.yaml says",
		Why:   "a front end that is written after the document breaks on a field that is missing, or is another thing",
		How:   "the route is asked once with a good request; status, fields and, where the schema is claimed, every field of the answer are compared",
		Needs: append([]claims.Claim{route}, needs...),
		check: func(e *env) { e.start(); check(e) },
	}
}

func shapeRules() []Rule {
	conversation := func(e *env, a answer) {
		e.Helper()
		if a.ConversationID == "" || len(a.Messages) == 0 {
			e.broken("no conversationId or no messages: %s", a)
		}
		for _, m := range a.Messages {
			if m.Role != "assistant" || m.Kind != "text" && m.Kind != "adaptiveCard" {
				e.broken("a message has the role %q and the kind %q: %s", m.Role, m.Kind, a)
			}
		}
	}
	return []Rule{
		shape("start", claims.Start, nil, func(e *env) { conversation(e, e.ok(starting())) }),
		shape("start-empty", claims.Start, nil, func(e *env) { conversation(e, e.ok(request{method: "POST", path: "/api/chat/start"})) }),
		shape("send", claims.Send, nil, func(e *env) { conversation(e, e.ok(sending(e.begin(), "hello"))) }),
		shape("card-action", claims.CardAction, nil, func(e *env) { conversation(e, e.ok(submitting(e.begin()))) }),
		shape("orchestrate", claims.Orchestrate, nil, func(e *env) { conversation(e, e.ok(orchestrating())) }),
		shape("list", claims.List, nil, func(e *env) {
			id := e.begin()
			a := e.ok(listing())
			if !slices.ContainsFunc(a.Conversations, func(c struct{ ConversationID string }) bool { return c.ConversationID == id }) {
				e.broken("the conversation that was just begun is not listed: %s", a)
			}
		}),
		shape("read", claims.Read, []claims.Claim{claims.Send}, func(e *env) {
			id := e.begin()
			e.ok(sending(id, "hello"))
			a := e.ok(reading(id))
			if got := roles(a.Messages); got != "assistant user assistant" || a.ConversationID != id || a.Status != "active" {
				e.broken("roles %q and status %v: %s", got, a.Status, a)
			}
		}),
		shape("change", claims.Change, nil, func(e *env) {
			if a := e.ok(closing(e.begin())); a.Status != "completed" {
				e.broken("the status is %v: %s", a.Status, a)
			}
		}),
		shape("delete", claims.Delete, nil, func(e *env) {
			if a := e.ok(deleting(e.begin())); a.status != http.StatusNoContent || a.raw != "" {
				e.broken("want 204 and nothing: %s", a)
			}
		}),
		shape("health", claims.Health, nil, func(e *env) {
			var a answer
			e.soon(e.s.Bounds.HealthRecovery, "/health is 200", func() bool {
				a = e.ask(request{method: "GET", path: "/health"})
				return a.status == http.StatusOK
			})
			if a.Status != "ok" {
				e.broken("the status is %v: %s", a.Status, a)
			}
			if want := map[bool]string{true: "connected", false: "not_configured"}[e.s.Redis != nil]; e.s.Lacks.Has(claims.HealthRedis) && !e.s.Fixed && a.Redis != want {
				e.broken("redis is %q, want %q: %s", a.Redis, want, a)
			}
		}),
		shape("live", claims.Live, nil, func(e *env) { e.ok(request{method: "GET", path: "/livez"}) }),
		shape("ready", claims.Ready, nil, func(e *env) {
			e.soon(e.s.Bounds.HealthRecovery, "/readyz is 200", func() bool { return e.ask(request{method: "GET", path: "/readyz"}).status == http.StatusOK })
		}),
		shape("specification", claims.Specification, nil, func(e *env) {
			if a := e.ok(request{method: "GET", path: "/openapi.yaml"}); !strings.HasPrefix(a.raw, "openapi: 3.") {
				e.broken("it is no OpenAPI document: %.100s", a.raw)
			}
		}),
		{
			ID: "shape.agent-error", Chapter: "shapes", Sentence: "an error that the agent reports in words is an answer, with its code in agentError and the id of its trace beside it",
			Why: "a front end that takes the platform's words for an answer shows its user an error code and calls it help",
			How: "the agent says its words for SystemError; the answer must be 200, and its message must have the code and the trace that the answer names; so must the message when it is read again", Wired: true,
			Needs: []claims.Claim{claims.AgentErrors},
			check: func(e *env) {
				e.start()
				id := e.begin()
				a := e.ok(sending(id, "/error SystemError"))
				_, trace, _ := strings.Cut(a.header.Get("Traceparent"), "-")
				trace, _, _ = strings.Cut(trace, "-")
				told := func(m message) bool { return m.AgentError == "SystemError" && m.TraceID == trace && trace != "" }
				if !slices.ContainsFunc(a.Messages, told) {
					e.broken("no message has the code and the trace %q: %s", trace, a)
				}
				if again := e.ok(reading(id)); !slices.ContainsFunc(again.Messages, told) {
					e.broken("read again, no message has the code and the trace %q: %s", trace, again)
				}
			},
		},
	}
}

// refusal is a rule about a request that makes no sense.
func refusal(word, sentence string, route claims.Claim, r func(e *env) request, status int, class string) Rule {
	return Rule{
		ID: "refused." + word, Chapter: "refusals", Sentence: sentence,
		Why:   "a caller that is told 500 or 502 for a mistake of its own repeats it forever, and wakes an operator",
		How:   "such a request is sent once; the status is compared, and the class where classes are claimed",
		Needs: []claims.Claim{route},
		check: func(e *env) {
			e.start()
			before := e.asked()
			e.refused(e.ask(r(e)), status, class)
			if n := e.asked() - before; n != 0 {
				e.broken("the agent was asked %d times for a request that was refused", n)
			}
		},
	}
}

// asked is how often the agent was asked, starts not counted; 0 where it is not ours.
func (e *env) asked() int {
	if e.agent == nil {
		return 0
	}
	n := 0
	for _, r := range e.agent.Requests() {
		if r.Kind == "turn" {
			n++
		}
	}
	return n
}

func refusalRules() []Rule {
	body := func(path, text string) func(*env) request {
		return func(*env) request { return request{method: "POST", path: path, body: text} }
	}
	const send = "/api/chat/send"
	return []Rule{
		refusal("not-json", "a body that is not JSON is 400", claims.Send, body(send, `{"conversationId":`), 400, "invalid_request"),
		refusal("two-values", "a body with two JSON values is 400", claims.Send, body(send, `{"conversationId":"`+nobody()+`","text":"a"} {}`), 400, "invalid_request"),
		refusal("no-text", "a message without text is 400", claims.Send, func(*env) request { return request{method: "POST", path: send, body: m{"conversationId": nobody()}} }, 400, "invalid_request"),
		refusal("empty-text", "a message with an empty text is 400", claims.Send, func(*env) request { return sending(nobody(), "") }, 400, "invalid_request"),
		refusal("text-type", "a text that is a number is 400", claims.Send, func(*env) request {
			return request{method: "POST", path: send, body: m{"conversationId": nobody(), "text": 7}}
		}, 400, "invalid_request"),
		refusal("bad-id", "a conversationId that is no UUID is 400", claims.Send, func(*env) request { return sending("7", "hello") }, 400, "invalid_request"),
		refusal("unknown", "a message to a conversation that there is not is 404", claims.Send, func(*env) request { return sending(nobody(), "hello") }, 404, "not_found"),
		refusal("unknown-read", "reading a conversation that there is not is 404", claims.Read, func(*env) request { return reading(nobody()) }, 404, "not_found"),
		refusal("unknown-change", "closing a conversation that there is not is 404", claims.Change, func(*env) request { return closing(nobody()) }, 404, "not_found"),
		refusal("no-query", "an orchestration without a query is 400", claims.Orchestrate, body("/api/chat/orchestrate", `{}`), 400, "invalid_request"),
		refusal("no-summary", "a card without a summary is 400", claims.CardAction, func(*env) request {
			return request{method: "POST", path: "/api/chat/card-action", body: m{"conversationId": nobody(), "cardId": "c", "submitData": m{}}}
		}, 400, "invalid_request"),
		refusal("card-action", "a card action that is not on the list is 403", claims.CardAction, func(e *env) request {
			return request{method: "POST", path: "/api/chat/card-action", body: m{
				"conversationId": e.begin(), "cardId": "c", "userSummary": "s", "submitData": m{"action": "Action.Execute"},
			}}
		}, 403, "forbidden"),
		refusal("no-route", "a route that there is not is 404", claims.Start, func(*env) request { return request{method: "GET", path: "/api/chat/nothing"} }, 404, "not_found"),
	}
}
