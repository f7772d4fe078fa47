package server

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"parley/server/copilot"
)

func TestAllowedURLs(t *testing.T) {
	w := newWorld(t, nil, func(c *Config) { c.AllowedDomains = []string{"Microsoft.com.", "", " copilot.microsoft.com"} })
	for link, want := range map[string]bool{
		"https://microsoft.com":                       true,
		"https://learn.microsoft.com/x?y=https://e#z": true,
		"https://MICROSOFT.com.:443/":                 true,
		"https://xn--80ak6aa92e.microsoft.com/":       true,
		"http://microsoft.com":                        false,
		"https://microsoft.com.evil.example":          false,
		"https://evilmicrosoft.com":                   false,
		"https://microsoft.com@evil.example":          false,
		"https://microsoft.com:x@evil.example":        false,
		"https://user@microsoft.com":                  false,
		"https://microsoft.com:8443":                  false,
		"https://microsoft.com:":                      false,
		"https://evil.example\\.microsoft.com":        false,
		"https://evil.example#.microsoft.com":         false,
		"https://evil.example?.microsoft.com":         false,
		"https://microsoft\u3002com":                  false,
		"https://mıcrosoft.com":                       false,
		"https://microsoft.com%2eevil.example":        false,
		"https://microsoft.com..":                     false,
		"https://.microsoft.com":                      false,
		"https:microsoft.com":                         false,
		"https:///microsoft.com":                      false,
		"//microsoft.com":                             false,
		"javascript://microsoft.com/%0aalert(1)":      false,
		" https://microsoft.com":                      false,
		"https://micro\tsoft.com":                     false,
		"https://[::1]":                               false,
		"https://evil.":                               false,
		"":                                            false,
	} {
		if got := w.server.allowURL(link); got != want {
			t.Errorf("%q: %v", link, got)
		}
	}
}

func TestMessagesOfAnActivity(t *testing.T) {
	w := newWorld(t, nil)
	got := w.server.turns.messages([]copilot.Message{
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
	}, 4)
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

func FuzzParseBody(f *testing.F) {
	for _, seed := range []string{`{"text":"a","data":{"x":[1,2]},"list":["a"]}`, `{"text":"a","text":"b"}`, `{"Text":1}`, `{"\u0074ext":"a"}`, `{}{}`, "\xff", `[[[[`, `{"text":null}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := parseBody(body, "text", "data", "list")
		if err != nil {
			if Class(err) != classInvalid || strings.Contains(err.Error(), "%!") {
				t.Errorf("%q: %v", body, err)
			}
			return
		}
		if !json.Valid(body) || !utf8.Valid(body) || bytes.TrimSpace(body)[0] != '{' {
			t.Errorf("%q is accepted", body)
		}
		if s, err := o.text("text", 100); err == nil && (s == "" || len(s) > 100) {
			t.Errorf("%q gives text %q", body, s)
		}
		if raw, err := o.object("data"); err == nil {
			out, err := withCardID(raw, "card")
			var object map[string]any
			if err != nil || json.Unmarshal(out, &object) != nil || object["cardId"] != "card" {
				t.Errorf("%q gives data %q", body, out)
			}
			_ = canonical(raw)
		}
		_, _ = o.strings("list")
	})
}

func TestDepth(t *testing.T) {
	for body, deep := range map[string]bool{
		strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth):     false,
		strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1): true,
		`{"a":"` + strings.Repeat("[", 100) + `"}`:                        false,
		`{"a":"\"` + strings.Repeat("[", 100) + `"}`:                      false,
		`"\\"` + strings.Repeat("[", 100):                                 true,
	} {
		if got := tooDeep([]byte(body)); got != deep {
			t.Errorf("%.40q: %v", body, got)
		}
	}
}

func TestStoredExtraIsBounded(t *testing.T) {
	big := json.RawMessage(`{"a":"` + strings.Repeat("x", maxExtra) + `"}`)
	ex := extra{LatencyMs: 7, State: &workflowState{Step: "s", CollectedData: big}}
	b := ex.encode()
	var back extra
	if err := json.Unmarshal(b, &back); err != nil || len(b) > maxExtra || back.State.Step != "s" || back.LatencyMs != 7 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if ex.State.CollectedData == nil {
		t.Error("the fresh answer lost its data")
	}
}
