package server

import (
	"encoding/json"
	"strings"
	"testing"

	"parley/server/turn"
	"parley/store"
)

// chatAnswer is the body of start, send and card-action as package json writes it.
type chatAnswer struct {
	Conversation string             `json:"conversationId"`
	Messages     []store.Message    `json:"messages"`
	Data         *store.Payload     `json:"extractedPayload,omitempty"`
	State        turn.WorkflowState `json:"workflowState"`
	Restarted    bool               `json:"conversationRestarted,omitempty"`
	Stopped      bool               `json:"stopped,omitempty"`
}

// orchestrateAnswer is the body of orchestrate as package json writes it.
type orchestrateAnswer struct {
	Conversation string             `json:"conversationId"`
	Messages     []store.Message    `json:"messages"`
	Payload      *store.Payload     `json:"extractedPayload"`
	LatencyMs    int64              `json:"latencyMs"`
	State        turn.WorkflowState `json:"workflowState"`
	Restarted    bool               `json:"conversationRestarted,omitempty"`
}

// encodesAnswer holds both bodies of an answer to what package json writes.
func encodesAnswer(t *testing.T, a turn.Answer, exactly bool) {
	t.Helper()
	for _, c := range []struct {
		encode func(turn.Answer) ([]byte, error)
		want   any
	}{
		{encodeAnswer, chatAnswer{a.Conversation, a.Messages, a.Data, a.State, a.Restarted, a.Stopped}},
		{encodeOrchestration, orchestrateAnswer{a.Conversation, a.Messages, a.Payload(), a.LatencyMs, a.State, a.Restarted}},
	} {
		got, err := c.encode(a)
		if err != nil {
			t.Fatal(err)
		}
		says(t, got, c.want, exactly)
	}
}

// answered is an answer with all that it can have: these texts, and this JSON.
func answered(text, data string) turn.Answer {
	c := every(text, data)
	return turn.Answer{
		Conversation: c.ID, Messages: c.Messages, LatencyMs: 1234, Restarted: true, Stopped: true,
		State: turn.WorkflowState{Step: text, CollectedData: json.RawMessage(data), LastRecommendation: text, TurnCount: 12, Status: text},
		Data:  &store.Payload{Source: text, Confidence: text, Data: json.RawMessage(data)},
	}
}

// The answers of turns are what package json would write, which puts JSON on one line.
func TestTurnBodies(t *testing.T) {
	full := answered(`a "quoted" \ text <b>&</b> / 日本語 🎉`+"\n\r\t\b\f\x00\x1f\x7f", "{ \"a\":\n[1, 2.50,\tnull, \"< \\u2028\"]}")
	bare := turn.Answer{Conversation: "id", Messages: []store.Message{}, State: turn.WorkflowState{Step: "initial", TurnCount: 1, Status: "active"}}
	text, wordless := bare, bare
	text.Messages = full.Messages[:1]
	wordless.Data = &store.Payload{Source: "value"}
	for _, a := range []turn.Answer{full, bare, text, wordless} {
		encodesAnswer(t, a, true)
	}
}

// Requests that asked for the same turn encode the same answer, each on its own.
func TestTurnBodiesShareTheirAnswer(t *testing.T) {
	const spread = "{ \"a\": 1 }"
	a := answered("text", spread)
	if _, err := encodeAnswer(a); err != nil {
		t.Fatal(err)
	}
	for _, raw := range []json.RawMessage{a.State.CollectedData, a.Data.Data, a.Messages[1].CardJSON, a.Messages[2].ExtractedPayload.Data} {
		if string(raw) != spread {
			t.Errorf("encoding has changed the answer: %s", raw)
		}
	}
}

// Of an answer with JSON that is none, nothing is written.
func TestTurnBodiesNeedJSON(t *testing.T) {
	broken := json.RawMessage(`{"a":`)
	for name, breaks := range map[string]func(*turn.Answer){
		"state":   func(a *turn.Answer) { a.State.CollectedData = broken },
		"data":    func(a *turn.Answer) { a.Data.Data = broken },
		"card":    func(a *turn.Answer) { a.Messages[1].CardJSON = broken },
		"payload": func(a *turn.Answer) { a.Messages[2].ExtractedPayload.Data = broken },
	} {
		a := answered("text", "{}")
		breaks(&a)
		if body, err := encodeAnswer(a); err == nil {
			t.Errorf("%s: %s", name, body)
		}
		if body, err := encodeOrchestration(a); err == nil {
			t.Errorf("%s: %s", name, body)
		}
	}
}

// FuzzTurnBodies has any text in all places.
func FuzzTurnBodies(f *testing.F) {
	f.Add("plain", `{}`)
	f.Add("\xff\xfe \u2028 \ud7ff \"", "[ \"\\ud800\",\n1e5 ]")
	f.Add(strings.Repeat("\x1b", 10), `null`)
	f.Fuzz(func(t *testing.T, text, data string) {
		if json.Valid([]byte(data)) {
			encodesAnswer(t, answered(text, data), false)
		}
	})
}
