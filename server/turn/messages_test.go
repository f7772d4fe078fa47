package turn

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"parley/server/copilot"
	"parley/store"
)

func TestMessagesOfAnActivity(t *testing.T) {
	card := func(content string) copilot.Attachment {
		return copilot.Attachment{ContentType: adaptiveCard, Content: json.RawMessage(content)}
	}
	hero := copilot.Attachment{ContentType: "application/vnd.microsoft.card.hero", Title: "A map", Content: json.RawMessage(`{}`)}
	deep := strings.Repeat(`{"a":`, 2000) + "1" + strings.Repeat("}", 2000)
	for name, c := range map[string]struct {
		activity copilot.Message
		texts    string // of the messages, cards by their id
		payload  string // of the first message
		alone    string // data without a message
		hidden   int
	}{
		"an echo":                {copilot.Message{Text: "an echo"}, "", "", "", 0},
		"blank":                  {copilot.Message{FromBot: true, Text: "  \n"}, "", "", "", 0},
		"data alone":             {copilot.Message{FromBot: true, Value: json.RawMessage(`{"a":1}`)}, "", "", `{"a":1}`, 0},
		"text with data":         {copilot.Message{FromBot: true, Text: "x", Value: json.RawMessage(`{"a":1}`)}, "x", `{"a":1}`, "", 0},
		"a card without an id":   {copilot.Message{FromBot: true, Attachments: []copilot.Attachment{card(`{"n":3}`)}}, "m1", "", "", 0},
		"cards and others":       {copilot.Message{FromBot: true, ID: "a", Attachments: []copilot.Attachment{hero, card(`{"n":1}`), card(`null`), card(`{`), card(``), card(`{"n":2}`)}}, "a a-2", "", "", 4},
		"media type":             {copilot.Message{FromBot: true, ID: "a", Attachments: []copilot.Attachment{{ContentType: "APPLICATION/vnd.microsoft.card.adaptive; v=1", Content: json.RawMessage(`{"n":1}`)}}}, "a", "", "", 0},
		"only what is not shown": {copilot.Message{FromBot: true, Attachments: []copilot.Attachment{hero}}, "[hero card that cannot be shown here] A map", "", "", 1},
		"not shown, with data":   {copilot.Message{FromBot: true, Attachments: []copilot.Attachment{hero}, Value: json.RawMessage(`{"a":1}`)}, "[hero card that cannot be shown here] A map", `{"a":1}`, "", 1},
		"not shown, with text":   {copilot.Message{FromBot: true, Text: "x", Attachments: []copilot.Attachment{hero}}, "x", "", "", 1},
		"deep data in a text":    {copilot.Message{FromBot: true, Text: deep}, deep, "", "", 0},
		"half a character":       {copilot.Message{FromBot: true, Text: `{"a":"\ud83d"}`}, `{"a":"\ud83d"}`, "{\"a\":\"\uFFFD\"}", "", 0},
	} {
		n := 0
		s := messagesOf(c.activity, 4, func() string { n++; return fmt.Sprintf("m%d", n) })
		var texts []string
		for _, m := range s.messages {
			texts = append(texts, m.Text+m.CardID)
			if m.Turn != 4 || m.Role != store.RoleAssistant {
				t.Errorf("%s: %+v", name, m)
			}
		}
		payload, alone := "", ""
		if len(s.messages) > 0 && s.messages[0].ExtractedPayload != nil {
			payload = string(s.messages[0].ExtractedPayload.Data)
		}
		if s.payload != nil {
			alone = string(s.payload.Data)
		}
		if got := strings.Join(texts, " "); got != c.texts || payload != c.payload || alone != c.alone || len(s.hidden) != c.hidden {
			t.Errorf("%s: %.60q, data %q alone %q, hidden %v", name, got, payload, alone, s.hidden)
		}
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
