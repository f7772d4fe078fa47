// Package copilot speaks the "direct to engine" protocol of Copilot Studio:
// a POST that starts a conversation or runs one turn, answered by server-sent
// events. Package emulator beside it plays the other end.
package copilot

import (
	"context"
	"encoding/json"
	"iter"
	"strings"
)

// Agent is a conversational agent. Implementations must be safe for use from
// many goroutines; no state of one call is visible to another, so two
// conversations can never mix.
//
// An iterator yields events as they arrive. An error is terminal, is yielded
// once with a zero Event, and is always an *Error. Iteration that ends without
// an error means that the agent finished its turn. Breaking out of the loop
// ends the request. Each iterator may be ranged over once; the request is sent
// when iteration begins.
type Agent interface {
	// Start opens a conversation and yields the agent's greeting.
	Start(ctx context.Context, s Start) iter.Seq2[Event, error]
	// Turn sends one input to a known conversation and yields the answer. It is
	// never sent again once its request may have reached the agent, because the
	// protocol has no idempotency.
	Turn(ctx context.Context, t Turn) iter.Seq2[Event, error]
}

// Identity is on whose behalf the agent is asked. An upstream conversation
// belongs to the identity that started it.
type Identity struct {
	Tenant string
	User   string
	// Assertion is the caller's own access token, to be exchanged for one the
	// agent accepts; empty when nobody is signed in.
	Assertion string
	// Token is the bearer token that the agent is shown, in visible ASCII; empty for
	// none. WithTokens sets it.
	Token string
}

// Start asks for a new conversation.
type Start struct {
	Identity Identity
	// RequestID is a name of the caller's own for what it asks, of visible ASCII; empty
	// for none. It is sent as X-Request-Id, for both sides' logs: the protocol has no
	// field for it, and what the platform would take for one is not known.
	RequestID string
	// Silent opens the conversation without the agent's greeting.
	Silent bool
}

// Turn is one input to the agent.
type Turn struct {
	Identity       Identity
	RequestID      string          // as of Start
	ConversationID string          // as the agent gave it; never empty
	Text           string          // what the user says
	Value          json.RawMessage // data of a submitted card; a JSON object or empty
}

// EventKind says what an Event is.
type EventKind int

// The kinds of Event.
const (
	// EventConversation is yielded once, before any other event: the agent
	// accepted the request and ConversationID is known.
	EventConversation EventKind = iota + 1
	// EventDelta is progress of a message that is still being written.
	EventDelta
	// EventMessage is one whole message.
	EventMessage
	// EventEnded is the agent closing the conversation (endOfConversation).
	// The turn itself goes on to its end.
	EventEnded
)

// Event is one thing the agent did.
type Event struct {
	Kind EventKind

	// Of EventConversation: the conversation's id, and whether it differs from
	// the id the turn was sent to, which means that the agent has forgotten the
	// conversation and begun another.
	ConversationID string
	Restarted      bool

	// Of EventDelta: the stream it belongs to, and its text from the beginning
	// to here.
	StreamID string
	Text     string

	// Of EventMessage.
	Message Message
}

// Message is an activity of type "message", reduced to what callers use. Texts
// are valid UTF-8. Raw JSON is valid, in UTF-8, without escapes of half a
// character and nested at most 980 deep; what nests deeper is left out. It is a
// copy that the receiver may keep.
type Message struct {
	ID          string
	FromBot     bool   // from.role is bot or agent, or is missing
	Text        string // may be empty: card-only messages are legal
	Value       json.RawMessage
	Entities    []json.RawMessage // JSON objects, each with a "type"
	Attachments []Attachment
	// StreamID names the deltas that this message replaces; empty if there were none.
	StreamID string
	// Incomplete marks text put together from deltas whose final message never
	// came although the turn ended.
	Incomplete bool
	// ErrorCode is the platform's code when the message is an error the agent
	// reports in ordinary words ("Error code: SystemError"); else empty.
	ErrorCode string
}

// Empty reports whether there is nothing to show: no text and no attachment. What
// such a message has as Value or Entities is data that belongs to the turn.
func (m Message) Empty() bool {
	return strings.TrimSpace(m.Text) == "" && len(m.Attachments) == 0
}
