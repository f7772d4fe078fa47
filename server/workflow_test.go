package server

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"testing"

	"parley/server/copilot"
	"parley/server/turn"
	"parley/store"
)

// stateIn is the workflow's state of an answer, as JSON.
func stateIn(t *testing.T, members json.RawMessage) string {
	t.Helper()
	var answer struct{ WorkflowState json.RawMessage }
	if err := json.Unmarshal(members, &answer); err != nil {
		t.Fatalf("%v in %s", err, members)
	}
	return string(answer.WorkflowState)
}

// guide is an agent that gives the data it is told to, one message for each line.
func guide() *fakeAgent {
	return &fakeAgent{turn: func(_ context.Context, turn copilot.Turn) iter.Seq2[copilot.Event, error] {
		all := []copilot.Event{conversationEvent(turn)}
		_, text, found := strings.Cut(turn.Text, "[/WORKFLOW_CONTEXT]\n\n")
		if !found {
			text = turn.Text
		}
		for line := range strings.Lines(text) {
			m := copilot.Message{Text: "Well."}
			if json.Valid([]byte(line)) {
				m.Value = json.RawMessage(line)
			}
			all = append(all, messageEvent(m))
		}
		return events(all...)
	}}
}

// The front end's schemas want a step of at least one character, an object and a
// string. The agent moves the state on every route, the first answer, its replay and
// the stored conversation agree on it, and it is there after a reload.
func TestWorkflowState(t *testing.T) {
	w := newHarness(t, guide())
	id := w.start()
	if got := stateIn(t, w.must(200, call{Method: "POST", Path: "/api/chat/start"}).Body.Bytes()); got != `{"step":"initial","collectedData":{},"turnCount":0,"status":"active"}` {
		t.Errorf("start: %s", got)
	}
	say := func(text, more string) call {
		return post("/api/chat/send", fmt.Sprintf(`{"conversationId":%q,"text":%q%s}`, id, text, more))
	}
	submit := post("/api/chat/card-action", fmt.Sprintf(`{"conversationId":%q,"cardId":"c","userSummary":%q,"submitData":{"action":"Action.Submit"}}`, id, `{"action":"confirm","data":{"card":true}}`))
	for i, c := range []struct {
		request                 call
		want, step, data, fresh string // fresh is lastRecommendation
	}{
		{say("hello", ""), `{"step":"initial","collectedData":{},`, "", "", ""},
		{say(`{"action":"ask","data":{"district":"north"}}`, ""), `{"step":"gather_info","collectedData":{"district":"north"},`, "gather_info", `{"district":"north"}`, `{"action":"ask","data":{"district":"north"}}`},
		{say("hello", ""), `{"step":"gather_info","collectedData":{"district":"north"},`, "gather_info", `{"district":"north"}`, ""},
		{submit, `{"step":"confirm","collectedData":{"card":true,"district":"north"},`, "confirm", `{"card":true,"district":"north"}`, `{"action":"confirm","data":{"card":true}}`},
		{
			say(`{"action":"research","data":{"n":1}}`+"\n"+`{"action":"confirm","data":{"n":2}}`, `,"workflowContext":{"step":"mine","collectedData":{"z":1}}`),
			`{"step":"confirm","collectedData":{"n":2,"z":1},`, "confirm", `{"n":2,"z":1}`, `{"action":"research","data":{"n":1}}`,
		},
		{say("hello", `,"workflowContext":{"step":"mine","collectedData":{"y":1}}`), `{"step":"mine","collectedData":{"y":1},`, "mine", `{"y":1}`, ""},
		{say(`{"action":"complete"}`, ""), `{"step":"complete","collectedData":{"y":1},`, "complete", `{"y":1}`, `{"action":"complete"}`},
		{say("thanks", ""), `{"step":"complete","collectedData":{"y":1},`, "complete", `{"y":1}`, ""},
		{say(`{"action":"error","data":{"x":1}}`, ""), `{"step":"initial","collectedData":{"x":1,"y":1},`, "initial", `{"x":1,"y":1}`, `{"action":"error","data":{"x":1}}`},
	} {
		if c.fresh != "" {
			quoted, _ := json.Marshal(c.fresh)
			c.want += `"lastRecommendation":` + string(quoted) + `,`
		}
		status := "active"
		if c.step == "complete" {
			status = "completed"
		}
		c.want += fmt.Sprintf(`"turnCount":%d,"status":%q}`, i+1, status)
		c.request = c.request.with("Idempotency-Key", fmt.Sprint("k", i))
		for _, when := range []string{"at first", "again"} {
			if got := stateIn(t, w.must(200, c.request).Body.Bytes()); got != c.want {
				t.Errorf("%d, %s:\n%s, want\n%s", i, when, got, c.want)
			}
		}
		h := w.history(id)
		if h.Workflow.CurrentStep != c.step || string(h.Workflow.StepData) != c.data || h.Status != store.StatusActive {
			t.Errorf("%d: stored %q %s, %s", i, h.Workflow.CurrentStep, h.Workflow.StepData, h.Status)
		}
		one := w.must(200, get("/api/chat/conversations/"+id)).Body.String()
		list := w.must(200, get("/api/chat/conversations")).Body.String()
		if c.step != "" && (!strings.Contains(one, `"currentStep":"`+c.step+`","stepData":`+c.data) || !strings.Contains(list, `"currentStep":"`+c.step+`"`)) {
			t.Errorf("%d: after a reload\n%s\n%s", i, one, list)
		}
	}
}

// The same on the routes that start a conversation, in a stream, and from data that
// comes without a message.
func TestWorkflowStateOfNewConversations(t *testing.T) {
	silent := copilot.Message{Value: json.RawMessage(`{"action":"ask","data":{"a":1}}`)}
	agent := answeringAgent(silent, copilot.Message{Value: json.RawMessage(`{"action":"research","data":{"b":2}}`)})
	agent.start = func(_ context.Context, s copilot.Start) iter.Seq2[copilot.Event, error] {
		return events(copilot.Event{Kind: copilot.EventConversation, ConversationID: "up-1"}, messageEvent(copilot.Message{Text: "Hello.", Value: json.RawMessage(`{"action":"ask","data":{"greeted":true}}`)}))
	}
	w := newHarness(t, agent)
	rec := w.must(200, call{Method: "POST", Path: "/api/chat/start"})
	if s := field[turn.WorkflowState](t, rec, "workflowState"); s.Step != "gather_info" || string(s.CollectedData) != `{"greeted":true}` || s.TurnCount != 0 {
		t.Errorf("start: %+v", s)
	}
	id := field[string](t, rec, "conversationId")
	if h := w.history(id); h.Workflow.CurrentStep != "gather_info" || string(h.Workflow.StepData) != `{"greeted":true}` {
		t.Errorf("start stores %+v", h.Workflow)
	}
	rec = w.must(200, post("/api/chat/orchestrate", `{"query":"x","workflowContext":{"step":"s","collectedData":{"a":0,"z":9}}}`))
	s := field[turn.WorkflowState](t, rec, "workflowState")
	if s.Step != "research" || string(s.CollectedData) != `{"a":1,"b":2,"greeted":true,"z":9}` || s.TurnCount != 1 || s.LastRecommendation != string(silent.Value) {
		t.Errorf("orchestrate: %+v", s)
	}
	if h := w.history(field[string](t, rec, "conversationId")); h.Workflow.CurrentStep != s.Step || string(h.Workflow.StepData) != string(s.CollectedData) {
		t.Errorf("orchestrate stores %+v", h.Workflow)
	}
	stream := w.must(200, send(id, "x").with("Accept", "text/event-stream")).Body.String()
	if !strings.Contains(stream, `"workflowState":{"step":"research","collectedData":{"a":1,"b":2,"greeted":true},"lastRecommendation":`) {
		t.Errorf("stream: %s", stream)
	}
}

// Data of the agent that is too much fails no turn.
func TestWorkflowDataTooLarge(t *testing.T) {
	big, _ := json.Marshal(map[string]any{"action": "ask", "data": map[string]string{"a": strings.Repeat("x", 80<<10)}})
	w := newHarness(t, answeringAgent(copilot.Message{Text: "Well.", Value: big}))
	id := w.start()
	rec := w.must(200, send(id, "x"))
	if s := field[turn.WorkflowState](t, rec, "workflowState"); s.Step != "gather_info" || string(s.CollectedData) != `{}` {
		t.Errorf("%s %.80s", s.Step, s.CollectedData)
	}
	if h := w.history(id); h.Workflow.CurrentStep != "gather_info" || h.Workflow.StepData != nil || !strings.Contains(w.logs.String(), "data of the agent was left out") {
		t.Errorf("stored %.80s", h.Workflow.StepData)
	}
}

// Answers that were stored before every answer had a state have one when they are
// replayed.
func TestWorkflowStateOfOldAnswers(t *testing.T) {
	w := newHarness(t, nil)
	o := store.Owner{Tenant: store.DefaultTenant, User: store.DefaultUser}
	for i, c := range []struct{ extra, want string }{
		{`{"latencyMs":3}`, `{"step":"initial","collectedData":{},"turnCount":1,"status":"active"}`},
		{`{"workflowState":{"step":"","turnCount":1,"status":"completed"},"latencyMs":3}`, `{"step":"initial","collectedData":{},"turnCount":1,"status":"completed"}`},
		{`{"workflowState":{"step":"s","collectedData":{"a":1},"turnCount":1,"status":"active"},"latencyMs":3}`, `{"step":"s","collectedData":{"a":1},"turnCount":1,"status":"active"}`},
		{``, `{"step":"initial","collectedData":{},"turnCount":1,"status":"active"}`},
	} {
		id := w.start()
		key := fmt.Sprint("k", i)
		held, err := w.store.BeginTurn(t.Context(), store.Begin{
			Owner: o, Conversation: id, Key: key, Fingerprint: turn.Fingerprint(turn.KindSend, nil, "x"),
			Input: []store.Message{{ID: unknown, Role: store.RoleUser, Kind: store.KindText, Text: "x"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.store.CompleteTurn(t.Context(), held, store.Completion{Outcome: store.Outcome{Extra: json.RawMessage(c.extra)}}); err != nil {
			t.Fatal(err)
		}
		rec := w.must(200, send(id, "x").with("Idempotency-Key", key))
		if got := stateIn(t, rec.Body.Bytes()); got != c.want || rec.Header().Get("Idempotency-Replayed") == "" {
			t.Errorf("%q: %s", c.extra, got)
		}
	}
}
