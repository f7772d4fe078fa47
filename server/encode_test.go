package server

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"parley/store"
)

// What follows are the bodies as package json writes them.

type conversationBody struct {
	ID          string           `json:"conversationId"`
	Status      store.Status     `json:"status"`
	CreatedAt   string           `json:"createdAt"`
	UpdatedAt   string           `json:"updatedAt"`
	TurnCount   int              `json:"turnCount"`
	WorkflowID  string           `json:"workflowId,omitempty"`
	CurrentStep string           `json:"currentStep,omitempty"`
	StepData    json.RawMessage  `json:"stepData,omitempty"`
	Metadata    json.RawMessage  `json:"metadata,omitempty"`
	PendingTurn int              `json:"pendingTurn,omitempty"`
	Failures    []failureBody    `json:"failures,omitempty"`
	Messages    *[]store.Message `json:"messages,omitempty"`
	Earlier     *int             `json:"earlier,omitempty"`
	Later       *int             `json:"later,omitempty"`
}

type failureBody struct {
	Turn  int    `json:"turn"`
	Class string `json:"class"`
}

type listingBody struct {
	Conversations []conversationBody `json:"conversations"`
	NextCursor    string             `json:"nextCursor,omitempty"`
	Unreadable    int                `json:"unreadable,omitempty"`
}

func bodyOf(c store.Conversation) conversationBody {
	b := conversationBody{
		ID: c.ID, Status: c.Status, CreatedAt: isoTime(c.CreatedAt), UpdatedAt: isoTime(c.UpdatedAt), TurnCount: c.Turns,
		WorkflowID: c.Workflow.ID, CurrentStep: c.Workflow.CurrentStep, StepData: c.Workflow.StepData, Metadata: c.Workflow.Metadata, PendingTurn: c.PendingTurn,
	}
	for _, f := range c.Failures {
		b.Failures = append(b.Failures, failureBody(f))
	}
	return b
}

func pageOf(c store.Conversation) conversationBody {
	b := bodyOf(c)
	messages := append([]store.Message{}, c.Messages...)
	b.Messages = &messages
	if n := len(messages); n > 0 && c.Earlier {
		b.Earlier = &messages[0].Turn
	}
	if n := len(messages); n > 0 && c.Later {
		b.Later = &messages[n-1].Turn
	}
	return b
}

// says holds what is appended to what package json writes: byte for byte, but for how
// characters are escaped that both may write as they are.
func says(t *testing.T, got []byte, want any, exactly bool) {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(want); err != nil {
		t.Fatal(err)
	}
	var gotValue, wantValue any
	if err := json.Unmarshal(got, &gotValue); err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	if err := json.Unmarshal(b.Bytes(), &wantValue); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(gotValue, wantValue) || exactly && !bytes.Equal(got, b.Bytes()) {
		t.Errorf("appended\n%s, package json writes\n%s", got, b.Bytes())
	}
}

// every fills what a conversation and a message can have with these texts.
func every(text, data string) store.Conversation {
	at := time.Date(2026, 11, 22, 9, 15, 4, 120_000_000, time.UTC)
	return store.Conversation{
		ID: "b0a1c2d3-0000-4000-8000-000000000001", CreatedAt: at, UpdatedAt: at.Add(time.Hour), Status: store.StatusCompleted, Turns: 12, PendingTurn: 3,
		UpstreamID: "nobody's business", Owner: store.Owner{Tenant: "t", User: "u"},
		Workflow: store.Workflow{ID: text, CurrentStep: text, StepData: json.RawMessage(data), Metadata: json.RawMessage(data)},
		Failures: []store.TurnFailure{{Turn: 2, Class: "internal"}, {Turn: 11, Class: text}},
		Messages: []store.Message{
			{ID: "m0", Role: store.RoleUser, Kind: store.KindText, Text: text},
			{ID: text, Turn: 1, Role: store.RoleAssistant, Kind: store.KindCard, CardJSON: json.RawMessage(data), CardID: text},
			{ID: "m2", Turn: 12, Role: store.RoleAssistant, Kind: store.KindText, Text: text, AgentError: text, TraceID: text, Stopped: true, ExtractedPayload: &store.Payload{Source: text, Confidence: text, Data: json.RawMessage(data)}},
			{ID: "m3", Turn: 12, Role: store.RoleUser, Kind: store.KindText, ExtractedPayload: &store.Payload{Source: text}},
		},
		Earlier: true, Later: true,
	}
}

// The bodies of what is read are what package json would write.
func TestReadBodies(t *testing.T) {
	full := every(`a "quoted" \ text <b>&</b> / 日本語 🎉`+"\n\r\t\b\f\x00\x1f\x7f", `{"a":[1,2.50,null,"<"]}`)
	bare := store.Conversation{ID: "id", Status: store.StatusActive, Earlier: true, Later: true}
	none := full
	none.Messages, none.Earlier, none.Later = full.Messages[:1], false, false
	for _, c := range []store.Conversation{full, bare, none} {
		says(t, appendPage(nil, &c), pageOf(c), true)
		says(t, append(appendConversation(nil, &c), '}', '\n'), bodyOf(c), true)
	}
	says(t, appendListing(nil, store.Listing{}), listingBody{Conversations: []conversationBody{}}, true)
	says(t, appendListing(nil, store.Listing{Conversations: []store.Conversation{full, bare}, NextCursor: "next", Corrupt: 2}),
		listingBody{Conversations: []conversationBody{bodyOf(full), bodyOf(bare)}, NextCursor: "next", Unreadable: 2}, true)
}

// FuzzReadBodies has any text in all places.
func FuzzReadBodies(f *testing.F) {
	f.Add("plain", `{}`)
	f.Add("\xff\xfe \u2028 \ud7ff \"", `[ "\ud800", 1e5 ]`)
	f.Add(strings.Repeat("\x1b", 10), `null`)
	f.Fuzz(func(t *testing.T, text, data string) {
		if !json.Valid([]byte(data)) {
			return // it is not stored
		}
		c := every(text, data)
		says(t, appendPage(nil, &c), pageOf(c), false)
	})
}

// BenchmarkPage appends a page, beside package json.
func BenchmarkPage(b *testing.B) {
	c := every("You said hello there, and this is what there is to say about it.", `{}`)
	c.Messages = append([]store.Message{}, c.Messages[0])
	for len(c.Messages) < store.MaxMessages {
		c.Messages = append(c.Messages, c.Messages[0])
	}
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			appendPage(make([]byte, 0, conversationSize+len(c.Messages)*(messageSize+len(c.Messages[0].Text))), &c)
		}
	})
	b.Run("json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := json.NewEncoder(&bytes.Buffer{}).Encode(pageOf(c)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
