package turn

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"parley/server/copilot"
)

func TestMessagesOfAnActivity(t *testing.T) {
	n := 0
	newID := func() string { n++; return fmt.Sprintf("m%d", n) }
	got := messagesOf([]copilot.Message{
		{FromBot: false, Text: "an echo"},
		{FromBot: true, Text: "  \n"},
		{FromBot: true, Value: json.RawMessage(`{"a":1}`)},
		{FromBot: true, ID: "a", Attachments: []copilot.Attachment{
			{ContentType: "application/vnd.microsoft.card.hero", Content: json.RawMessage(`{}`)},
			{ContentType: "APPLICATION/vnd.microsoft.card.adaptive; v=1", Content: json.RawMessage(`{"n":1}`)},
			{ContentType: adaptiveCard, Content: json.RawMessage(`null`)},
			{ContentType: adaptiveCard, Content: json.RawMessage(`{`)},
			{ContentType: adaptiveCard},
			{ContentType: adaptiveCard, Content: json.RawMessage(`{"n":2}`)},
		}},
		{FromBot: true, Attachments: []copilot.Attachment{{ContentType: adaptiveCard, Content: json.RawMessage(`{"n":3}`)}}},
	}, 4, newID)
	if len(got) != 4 {
		t.Fatalf("%+v", got)
	}
	// Data that comes without a word or a card is not lost.
	if data := got[0].ExtractedPayload; data == nil || string(data.Data) != `{"a":1}` || got[0].Text != "" {
		t.Errorf("%+v", got[0])
	}
	if cards := got[1:]; cards[0].CardID != "a" || cards[1].CardID != "a-2" || cards[2].CardID != cards[2].ID || cards[2].Turn != 4 {
		t.Errorf("%+v", cards)
	}
}

func TestJSONInText(t *testing.T) {
	for text, want := range map[string]string{
		"no data":                "",
		"{}":                     "",
		"an {empty} brace":       "",
		`first {} then {"a": 1}`: `{"a":1}`,
		`{ {"a":1}`:              `{"a":1}`,
		`[{"a":1}]`:              `{"a":1}`,
		"{\"raw\":1} ```json\n{\"fenced\":1}\n```":   `{"fenced":1}`,
		"```JSON {\"a\":1}```":                       `{"a":1}`,
		"```json\n[1]\n``` ```json\n{\"b\":2}\n```":  `{"b":2}`,
		"```js\n{\"a\":1}\n```":                      `{"a":1}`,
		"```json\n{\"a\":1}":                         `{"a":1}`,
		strings.Repeat("{", 100) + `{"a":1}`:         "",
		strings.Repeat(" ", maxSearched) + `{"a":1}`: "",
	} {
		if got := string(jsonIn(text)); got != want {
			t.Errorf("%.60q: %s, want %s", text, got, want)
		}
	}
}

func FuzzJSONInText(f *testing.F) {
	f.Add("```json\n{\"a\":1}\n```")
	f.Add(`say {"a":{"b":[1]}} twice {"c":2}`)
	f.Fuzz(func(t *testing.T, text string) {
		data := jsonIn(text)
		if data == nil {
			return
		}
		var object map[string]any
		if err := json.Unmarshal(data, &object); err != nil || len(object) == 0 {
			t.Errorf("%q gives %q", text, data)
		}
	})
}
