package copilot

import (
	"bytes"
	"encoding/json"
	"errors"
)

// The request bodies. Only what the public SDKs send, too, is sent.
type (
	wireStart struct {
		EmitStart bool `json:"emitStartConversationEvent"`
	}
	wireTurn struct {
		Activity wireInput `json:"activity"`
	}
	wireInput struct {
		Type         string          `json:"type"`
		Text         string          `json:"text,omitempty"`
		TextFormat   string          `json:"textFormat,omitempty"`
		From         wireUser        `json:"from"`
		Conversation wireID          `json:"conversation"`
		ChannelData  *wirePostBack   `json:"channelData,omitempty"`
		Value        json.RawMessage `json:"value,omitempty"`
	}
	wireUser struct {
		ID   string `json:"id,omitempty"`
		Role string `json:"role"`
	}
	wireID struct {
		ID string `json:"id"`
	}
	// wirePostBack marks what a card sent, in contrast to what somebody typed.
	wirePostBack struct {
		PostBack bool `json:"postBack"`
	}
)

func startBody(s Start) ([]byte, error) {
	return encode(wireStart{EmitStart: !s.Silent})
}

func turnBody(t Turn) ([]byte, error) {
	in := wireInput{
		Type: kindMessage, Text: t.Text,
		From: wireUser{ID: t.Identity.User, Role: "user"}, Conversation: wireID{ID: t.ConversationID},
	}
	if t.Text != "" {
		in.TextFormat = "plain"
	}
	if len(t.Value) > 0 {
		if !isObject(t.Value) || !json.Valid(t.Value) {
			return nil, errors.New("value is not a JSON object")
		}
		in.Value, in.ChannelData = t.Value, &wirePostBack{PostBack: true}
	}
	return encode(wireTurn{Activity: in})
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, errors.New("input cannot be encoded")
	}
	return bytes.TrimSpace(b.Bytes()), nil
}
