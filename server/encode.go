package server

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"parley/store"
)

// What follows writes what is read of the store, in the order and with the names that
// openapi.yaml has. A page can have many of them, and package json looks up what each
// consists of at every one. JSON that was stored is valid and is written as it is.

// About how many bytes a body takes, so that it seldom has to grow.
const (
	listingOverhead  = 256
	conversationSize = 256 // without its JSON and its messages
	messageSize      = 128 // without its text and its card
)

// appendListing appends the body of a list.
func appendListing(b []byte, l store.Listing) []byte {
	b = append(b, `{"conversations":[`...)
	for i := range l.Conversations {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendConversation(b, &l.Conversations[i]), '}')
	}
	b = append(b, ']')
	if l.NextCursor != "" {
		b = appendText(append(b, `,"nextCursor":`...), l.NextCursor)
	}
	if l.Corrupt > 0 { // entries that could not be decoded
		b = strconv.AppendInt(append(b, `,"unreadable":`...), int64(l.Corrupt), 10)
	}
	return append(b, "}\n"...)
}

// appendPage appends the body of one conversation with a part of its messages.
func appendPage(b []byte, c *store.Conversation) []byte {
	b = append(appendConversation(b, c), `,"messages":[`...)
	for i := range c.Messages {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendMessage(b, &c.Messages[i])
	}
	b = append(b, ']')
	if n := len(c.Messages); n > 0 {
		if c.Earlier { // the turn before which there is more
			b = strconv.AppendInt(append(b, `,"earlier":`...), int64(c.Messages[0].Turn), 10)
		}
		if c.Later { // the turn after which there is more
			b = strconv.AppendInt(append(b, `,"later":`...), int64(c.Messages[n-1].Turn), 10)
		}
	}
	return append(b, "}\n"...)
}

// appendConversation appends what every body says of a conversation, and leaves the
// object open.
func appendConversation(b []byte, c *store.Conversation) []byte {
	b = appendText(append(b, `{"conversationId":`...), c.ID)
	b = appendText(append(b, `,"status":`...), c.Status)
	b = appendTime(append(b, `,"createdAt":"`...), c.CreatedAt)
	b = appendTime(append(b, `","updatedAt":"`...), c.UpdatedAt)
	b = strconv.AppendInt(append(b, `","turnCount":`...), int64(c.Turns), 10)
	b = appendSome(b, `,"workflowId":`, c.Workflow.ID)
	b = appendSome(b, `,"currentStep":`, c.Workflow.CurrentStep)
	b = appendRaw(b, `,"stepData":`, c.Workflow.StepData)
	b = appendRaw(b, `,"metadata":`, c.Workflow.Metadata)
	if c.PendingTurn != 0 {
		b = strconv.AppendInt(append(b, `,"pendingTurn":`...), int64(c.PendingTurn), 10)
	}
	for i, f := range c.Failures {
		if i == 0 {
			b = append(b, `,"failures":[`...)
		} else {
			b = append(b, ',')
		}
		b = strconv.AppendInt(append(b, `{"turn":`...), int64(f.Turn), 10)
		b = append(appendText(append(b, `,"class":`...), f.Class), '}')
	}
	if len(c.Failures) > 0 {
		b = append(b, ']')
	}
	return b
}

// appendMessage appends a message, by the names of store.Message.
func appendMessage(b []byte, m *store.Message) []byte {
	b = appendText(append(b, `{"id":`...), m.ID)
	b = strconv.AppendInt(append(b, `,"turn":`...), int64(m.Turn), 10)
	b = appendText(append(b, `,"role":`...), m.Role)
	b = appendText(append(b, `,"kind":`...), m.Kind)
	b = appendSome(b, `,"text":`, m.Text)
	b = appendRaw(b, `,"cardJson":`, m.CardJSON)
	b = appendSome(b, `,"cardId":`, m.CardID)
	if m.ExtractedPayload != nil {
		b = appendPayload(append(b, `,"extractedPayload":`...), m.ExtractedPayload)
	}
	b = appendSome(b, `,"agentError":`, m.AgentError)
	b = appendSome(b, `,"traceId":`, m.TraceID)
	if m.Stopped {
		b = append(b, `,"stopped":true`...)
	}
	return append(b, '}')
}

// appendPayload appends data that was found in an answer, by the names of store.Payload.
func appendPayload(b []byte, p *store.Payload) []byte {
	b = appendText(append(b, `{"source":`...), p.Source)
	b = appendText(append(b, `,"confidence":`...), p.Confidence)
	b = append(b, `,"data":`...)
	if len(p.Data) > 0 {
		b = append(b, p.Data...)
	} else { // a legacy record may have none
		b = append(b, "null"...)
	}
	return append(b, '}')
}

// appendText appends a string. What is no valid UTF-8 in it is replaced.
func appendText[T ~string](b []byte, s T) []byte {
	b, _ = jsontext.AppendQuote(b, s)
	return b
}

// appendSome appends a name and its string, if that is not empty.
func appendSome(b []byte, name, s string) []byte {
	if s == "" {
		return b
	}
	return appendText(append(b, name...), s)
}

// appendRaw appends a name and its JSON, if there is any.
func appendRaw(b []byte, name string, raw json.RawMessage) []byte {
	if len(raw) == 0 {
		return b
	}
	return append(append(b, name...), raw...)
}

// appendTime appends a time.
func appendTime(b []byte, t time.Time) []byte { return t.UTC().AppendFormat(b, isoLayout) }
