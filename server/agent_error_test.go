package server

import (
	"context"
	"fmt"
	"iter"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"parley/server/copilot"
)

// An error that the agent reports in words is a 200. Its message leads to the trace of
// the request in whose turn it was said, in every form of the answer, and also when
// another request repeats or reads it.
func TestAgentErrorNamesItsTrace(t *testing.T) {
	words := copilot.Message{ID: "a", Text: "Sorry. Error code: SystemError.", ErrorCode: "SystemError"}
	greeting := &fakeAgent{start: func(context.Context, copilot.Start) iter.Seq2[copilot.Event, error] {
		return events(copilot.Event{Kind: copilot.EventConversation, ConversationID: "up"}, messageEvent(words))
	}}
	keyed := send("ID", "a").with("Idempotency-Key", "k")
	for name, c := range map[string]struct {
		agent *fakeAgent
		call  call
		again call // reads or repeats the answer
		said  int  // how often the trace is told in the answer
	}{
		"send":            {answeringAgent(words), keyed, keyed, 1},
		"send, streamed":  {answeringAgent(words), asStream(keyed), asStream(keyed), 2}, // as the message, and at the end
		"send, read":      {answeringAgent(words), send("ID", "a"), get("/api/chat/conversations/ID"), 1},
		"card-action":     {answeringAgent(words), post("/api/chat/card-action", cardBody), get("/api/chat/conversations/ID"), 1},
		"start":           {greeting, post("/api/chat/start", "{}").with("Idempotency-Key", "s"), post("/api/chat/start", "{}").with("Idempotency-Key", "s"), 1},
		"start, streamed": {greeting, asStream(post("/api/chat/start", "{}").with("Idempotency-Key", "s")), post("/api/chat/start", "{}").with("Idempotency-Key", "s"), 2},
		"orchestrate":     {answeringAgent(words), post("/api/chat/orchestrate", `{"query":"a"}`).with("Idempotency-Key", "o"), post("/api/chat/orchestrate", `{"query":"a"}`).with("Idempotency-Key", "o"), 1},
		"an answer":       {answeringAgent(copilot.Message{ID: "a", Text: "fine"}), send("ID", "a"), get("/api/chat/conversations/ID"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int64
			w := newHarness(t, c.agent, func(cfg *Config) {
				cfg.Traceparent = func(context.Context) string {
					return fmt.Sprintf("00-%032x-0123456789abcdef-01", requests.Add(1))
				}
			})
			id := w.start()
			do := func(c call) (rec *httptest.ResponseRecorder, trace string) {
				c.Path, c.Body = strings.Replace(c.Path, "ID", id, 1), strings.Replace(c.Body, "ID", id, 1)
				rec = w.must(200, c)
				return rec, strings.Split(rec.Header().Get("Traceparent"), "-")[1]
			}
			rec, trace := do(c.call)
			told := `"agentError":"SystemError","traceId":"` + trace + `"`
			if n := strings.Count(rec.Body.String(), told); n != c.said {
				t.Errorf("trace %s is told %d times: %s", trace, n, rec.Body)
			}
			if line := `"trace_id":"` + trace + `"`; c.said > 0 && (!strings.Contains(w.logs.String(), line) || !strings.Contains(w.logs.String(), `"agent_error_code":"SystemError"`)) {
				t.Errorf("log: %s", w.logs)
			}
			if again, other := do(c.again); other == trace || strings.Contains(again.Body.String(), other) || strings.Contains(again.Body.String(), told) != (c.said > 0) {
				t.Errorf("trace %s is told again as: %s", trace, again.Body)
			}
		})
	}
}
