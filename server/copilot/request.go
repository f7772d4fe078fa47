package copilot

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/go-json-experiment/json/jsontext"
)

// The request bodies have only what the public SDKs send, too. They are written member by
// member, because a package for JSON takes three times as long.

func startBody(s Start) []byte {
	if s.Silent {
		return []byte(`{"emitStartConversationEvent":false}`)
	}
	return []byte(`{"emitStartConversationEvent":true}`)
}

// turnOverhead is about how many bytes the body of a turn takes beside its texts.
const turnOverhead = 256

// turnBody marks what a card sent as a post-back, in contrast to what somebody typed.
func turnBody(t Turn) ([]byte, error) {
	b := make([]byte, 0, turnOverhead+len(t.Text)+len(t.Value)+len(t.Identity.User))
	b = append(b, `{"activity":{"type":"`+kindMessage+`"`...)
	if t.Text != "" {
		b = appendText(append(b, `,"text":`...), t.Text)
		b = append(b, `,"textFormat":"plain"`...)
	}
	b = append(b, `,"from":{`...)
	if t.Identity.User != "" {
		b = append(appendText(append(b, `"id":`...), t.Identity.User), ',')
	}
	b = append(b, `"role":"user"},"conversation":{"id":`...)
	b = append(appendText(b, t.ConversationID), '}')
	if len(t.Value) > 0 {
		var value bytes.Buffer
		if !isObject(t.Value) || json.Compact(&value, t.Value) != nil {
			return nil, errors.New("value is not a JSON object")
		}
		b = append(b, `,"channelData":{"postBack":true},"value":`...)
		b = append(b, value.Bytes()...)
	}
	return append(b, "}}"...), nil
}

// appendText appends a text as JSON. What is no UTF-8 in it is replaced.
func appendText(b []byte, text string) []byte {
	b, _ = jsontext.AppendQuote(b, text)
	return b
}
