package server

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"

	"parley/server/copilot"
	"parley/server/turn"
	"parley/store"
)

func TestAgentEndsTheConversation(t *testing.T) {
	w := newHarness(t, &fakeAgent{turn: func(_ context.Context, turn copilot.Turn) iter.Seq2[copilot.Event, error] {
		return events(conversationEvent(turn), messageEvent(copilot.Message{Text: "Goodbye."}), copilot.Event{Kind: copilot.EventEnded})
	}})
	id := w.start()
	rec := w.must(200, post("/api/chat/send", `{"conversationId":"`+id+`","text":"bye","workflowContext":{"step":"s"}}`))
	if s := field[turn.WorkflowState](t, rec, "workflowState"); s.Status != "completed" {
		t.Errorf("state %+v", s)
	}
	if h := w.history(id); h.Status != store.StatusCompleted {
		t.Errorf("stored %+v", h)
	}

	// As in Copilot Studio, the user's next message starts a new conversation there.
	for _, accept := range []string{"", "text/event-stream"} {
		starts := len(w.agent.starts)
		body := w.must(200, send(id, "hello again?").with("Accept", accept)).Body.String()
		now := fmt.Sprintf("up-%d", starts+1)
		if len(w.agent.starts) != starts+1 || !w.agent.starts[starts].Silent || w.agent.lastTurn().ConversationID != now || !strings.Contains(body, `"conversationRestarted":true`) {
			t.Errorf("%s, the agent was asked %+v", body, w.agent.starts)
		}
		if h := w.history(id); h.UpstreamID != now || !w.lastDone().Restarted {
			t.Errorf("stored %+v", h)
		}
	}

	// What its owner closes stays closed.
	w.must(200, call{Method: "PATCH", Path: "/api/chat/conversations/" + id, Body: `{"status":"completed"}`, Headers: map[string]string{"Content-Type": "application/json"}})
	rec = w.must(409, send(id, "hello?"))
	if field[string](t, rec, "class") != "conversation_closed" || rec.Header().Get("Retry-After") != "" {
		t.Errorf("%s %v", rec.Body, rec.Header())
	}
}
