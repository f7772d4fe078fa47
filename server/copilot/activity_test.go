package copilot

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestDecodeActivity(t *testing.T) {
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	tests := []struct {
		name, in string
		want     activity
	}{
		{"bare", `{"type":"typing"}`, activity{kind: "typing", fromBot: true}},
		{"unknown type", `{"type":"command","foo":1}`, activity{kind: "command", fromBot: true}},
		{
			"nulls", `{"type":"message","id":null,"text":null,"value":null,"channelData":null,"entities":null,"attachments":null,"conversation":null,"from":null}`,
			activity{kind: "message", fromBot: true},
		},
		{
			"empty strings", `{"type":"message","id":"","text":"","value":"","channelData":"","entities":"","attachments":"","conversation":"","from":""}`,
			activity{kind: "message", fromBot: true},
		},
		{
			"empty lists", `{"type":"message","id":[],"text":[],"value":[],"channelData":[],"entities":[],"attachments":[],"conversation":[],"from":[]}`,
			activity{kind: "message", fromBot: true},
		},
		{
			"wrong kinds that do not matter", `{"type":"message","id":7,"channelData":7,"entities":{},"conversation":"c","timestamp":5,"from":{"role":{}}}`,
			activity{kind: "message"},
		},
		{
			"message", `{"type":"message","id":"m","text":"hi","from":{"role":"bot"},"conversation":{"id":"c"}}`,
			activity{kind: "message", id: "m", text: "hi", fromBot: true, conversation: "c"},
		},
		{
			"escapes", `{"type":"message","id":"a\u0062","text":"\"Merhaba\"\n\u00fc \ud83d\ude00"}`,
			activity{kind: "message", id: "ab", text: "\"Merhaba\"\nü 😀", fromBot: true},
		},
		{"invalid UTF-8", "{\"type\":\"message\",\"text\":\"a\xffb\"}", activity{kind: "message", text: "a\xffb", fromBot: true}},
		{"twice the same", `{"type":"typing","type":"message","text":"a","text":"b"}`, activity{kind: "message", text: "b", fromBot: true}},
		{"agent", `{"type":"message","from":{"role":"Agent"}}`, activity{kind: "message", fromBot: true}},
		{"no role", `{"type":"message","from":{"id":"x"}}`, activity{kind: "message", fromBot: true}},
		{"user", `{"type":"message","from":{"role":"user"}}`, activity{kind: "message"}},
		{"skill", `{"type":"message","from":{"role":"skill"}}`, activity{kind: "message"}},
		{"numeric bot", `{"type":"message","from":{"role":0}}`, activity{kind: "message", fromBot: true}},
		{"numeric user", `{"type":"message","from":{"role":1}}`, activity{kind: "message"}},
		{"value object", `{"type":"message","value":{"a":1}}`, activity{kind: "message", fromBot: true, value: raw(`{"a":1}`)}},
		{"value false", `{"type":"message","value":false}`, activity{kind: "message", fromBot: true, value: raw(`false`)}},
		{
			"entities", `{"type":"message","entities":[{"type":"a","x":1},{"x":1},{"type":7},"s",null,{"type":"b"}]}`,
			activity{kind: "message", fromBot: true, entities: []json.RawMessage{raw(`{"type":"a","x":1}`), raw(`{"type":"b"}`)}},
		},
		{
			"attachments", `{"type":"message","attachments":[{"contentType":"a","content":{"b":1}},null,7,{"contentUrl":"u","contentType":"image/png","content":null}]}`,
			activity{kind: "message", fromBot: true, attachments: []Attachment{{ContentType: "a", Content: raw(`{"b":1}`)}, {ContentType: "image/png", URL: "u"}}},
		},
		{
			"stream in channelData", `{"type":"typing","channelData":{"streamId":"s","streamType":"Streaming","streamSequence":3,"chunkType":"delta"}}`,
			activity{kind: "typing", fromBot: true, stream: streamInfo{id: "s", kind: "streaming", seq: 3, delta: true}},
		},
		{
			"stream in both", `{"type":"typing","channelData":{"streamId":"old","streamType":"informative","streamSequence":3,"chunkType":"delta"},"entities":[{"type":"streaminfo","streamType":"streaming","streamSequence":"x"}]}`,
			activity{
				kind: "typing", fromBot: true, stream: streamInfo{id: "old", kind: "streaming", seq: 3, delta: true},
				entities: []json.RawMessage{raw(`{"type":"streaminfo","streamType":"streaming","streamSequence":"x"}`)},
			},
		},
		{"negative sequence", `{"type":"typing","channelData":{"streamSequence":-3}}`, activity{kind: "typing", fromBot: true}},
		{
			"citation", `{"type":"message","entities":[{"type":"https://schema.org/Message","citation":[{}]}]}`,
			activity{kind: "message", fromBot: true, cited: true, entities: []json.RawMessage{raw(`{"type":"https://schema.org/Message","citation":[{}]}`)}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decodeActivity([]byte(tt.in))
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("decodeActivity = %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
	for _, in := range []string{
		``, `null`, `7`, `[]`, `[{"type":"message"}]`, `{}`, `{"type":null}`, `{"type":""}`, `{"type":7}`, `{"type":"message"`,
		`{"type":"message","text":7}`, `{"type":"message","text":{}}`, `{"type":"message","attachments":{"contentType":"a"}}`,
	} {
		if a, err := decodeActivity([]byte(in)); err == nil {
			t.Errorf("decodeActivity(%s) = %+v, want an error", in, a)
		}
	}
}

// TestMessagesKeepTheirJSON: what leaves the client must not change when the
// read buffer is used again.
func TestMessagesKeepTheirJSON(t *testing.T) {
	in := []byte(`{"type":"message","value":{"a":1},"entities":[{"type":"e"}],"attachments":[{"contentType":"c","content":{"b":2}}]}`)
	a, err := decodeActivity(in)
	if err != nil {
		t.Fatal(err)
	}
	m := a.message()
	for i := range in {
		in[i] = '#'
	}
	if string(m.Value) != `{"a":1}` || string(m.Entities[0]) != `{"type":"e"}` || string(m.Attachments[0].Content) != `{"b":2}` {
		t.Errorf("message changed: %s %s %s", m.Value, m.Entities, m.Attachments[0].Content)
	}
}

func TestErrorCodeIn(t *testing.T) {
	tests := map[string]string{
		"Sorry, something went wrong. Error code: SystemError. Conversation ID: 1.":    "SystemError",
		"Sorry, the bot can't talk for a while. ERROR CODE : AccessToBotDenied":        "AccessToBotDenied",
		"An error has occurred.\nError code: 2101\nConversation Id: Y\nTime (UTC): Z.": "2101",
		"エラー コード: SystemError。":                                                        "SystemError",
		"エラー コード：SystemError":                                                          "SystemError",
		"Código de error: OpenAIRateLimitReached.":                                     "OpenAIRateLimitReached",
		"Hata kodu: SystemError":                                                       "SystemError",
		"Code d’erreur: SystemError":                                                   "SystemError",
		"Fehlercode:\r\nCONTENT_FILTERED":                                              "CONTENT_FILTERED",
		"The error code is 5":                                                          "",
		"Error code:":                                                                  "",
		"Error code: " + strings.Repeat("x", 65):                                       "",
		"Error code: X " + strings.Repeat("y", 1000):                                   "",
		"エラー コード: X" + strings.Repeat("ー", 900):                                        "X",
		"": "",
	}
	for in, want := range tests {
		if got := errorCodeIn(in); got != want {
			t.Errorf("errorCodeIn(%.40q) = %q, want %q", in, got, want)
		}
	}
	for _, in := range []string{
		`{"type":"message","from":{"role":"user"},"text":"Error code: X"}`,
		`{"type":"message","text":"Error code: X","entities":[{"type":"https://schema.org/Message","citation":[{}]}]}`,
	} {
		a, err := decodeActivity([]byte(in))
		if m := a.message(); err != nil || m.ErrorCode != "" || m.Text != "Error code: X" {
			t.Errorf("%s: %+v, %v", in, m, err)
		}
	}
}
