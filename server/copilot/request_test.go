package copilot

import (
	"encoding/json"
	"reflect"
	"testing"
)

// The body of a turn, as the standard library writes it.
type (
	jsonTurn struct {
		Activity jsonInput `json:"activity"`
	}
	jsonInput struct {
		Type         string          `json:"type"`
		Text         string          `json:"text,omitempty"`
		TextFormat   string          `json:"textFormat,omitempty"`
		From         jsonUser        `json:"from"`
		Conversation jsonID          `json:"conversation"`
		ChannelData  *jsonPostBack   `json:"channelData,omitempty"`
		Value        json.RawMessage `json:"value,omitempty"`
	}
	jsonUser struct {
		ID   string `json:"id,omitempty"`
		Role string `json:"role"`
	}
	jsonID struct {
		ID string `json:"id"`
	}
	jsonPostBack struct {
		PostBack bool `json:"postBack"`
	}
)

// FuzzTurnBody: what is written means what the standard library writes, and a value that
// is no object is refused.
func FuzzTurnBody(f *testing.F) {
	f.Add("hello", "user", "c", "")
	f.Add("a\nb \u00e9 \U0001F600 \"quoted\" <b>&\u2028\x00", "", "19:x@thread.v2", "")
	f.Add("", "user", "c", ` { "a" : [ 1 , "<b>" ] } `)
	f.Add("a\xffb", "\xff", "\xff", "{}")
	for _, value := range []string{"[]", "null", "7", "{", `{"a":1}{}`, " "} {
		f.Add("hello", "user", "c", value)
	}
	f.Fuzz(func(t *testing.T, text, user, id, value string) {
		in := jsonInput{Type: "message", Text: text, From: jsonUser{user, "user"}, Conversation: jsonID{ID: id}}
		if text != "" {
			in.TextFormat = "plain"
		}
		refused := false
		if value != "" {
			in.ChannelData, in.Value = &jsonPostBack{true}, json.RawMessage(value)
			var object map[string]json.RawMessage
			refused = json.Unmarshal(in.Value, &object) != nil || object == nil
		}
		got, err := turnBody(Turn{Identity: Identity{User: user}, Text: text, ConversationID: id, Value: json.RawMessage(value)})
		if refused || err != nil {
			if refused != (err != nil) {
				t.Errorf("value %q: %v", value, err)
			}
			return
		}
		want, err := json.Marshal(jsonTurn{in})
		if err != nil {
			t.Fatal(err)
		}
		var a, b any
		if json.Unmarshal(got, &a) != nil || json.Unmarshal(want, &b) != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("%q, want what %q means", got, want)
		}
	})
}

func TestStartBody(t *testing.T) {
	for _, silent := range []bool{false, true} {
		var got map[string]any
		if err := json.Unmarshal(startBody(Start{Silent: silent}), &got); err != nil || !reflect.DeepEqual(got, map[string]any{"emitStartConversationEvent": !silent}) {
			t.Errorf("silent %v: %v, %v", silent, got, err)
		}
	}
}
