package copilot

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

func nested(n int) string { return strings.Repeat(`{"a":[`, n/2) + strings.Repeat(`]}`, n/2) }

func TestCleanJSON(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"plain":                {`{"a":[1,"b"]}`, `{"a":[1,"b"]}`},
		"no UTF-8":             {"{\"a\xff\":\"\xc3\x28\"}", "{\"a\ufffd\":\"\ufffd(\"}"},
		"Latin-1":              {"{\"a\":\"caf\xe9\"}", "{\"a\":\"caf\ufffd\"}"},
		"half a rune":          {"\"\xf0\x9f\x98\"", "\"\ufffd\""},
		"overlong":             {"\"\xc0\x80\"", "\"\ufffd\""},
		"encoded surrogate":    {"\"\xed\xa0\xbd\"", "\"\ufffd\""},
		"pair":                 {`"\ud83d\ude00"`, `"\ud83d\ude00"`},
		"pair in capitals":     {`"\uD83D\uDE00"`, `"\uD83D\uDE00"`},
		"high alone":           {`{"\ud83d":"x\ud83d"}`, "{\"\ufffd\":\"x\ufffd\"}"},
		"low alone":            {`"\ude00\u0041"`, "\"\ufffd\\u0041\""},
		"high twice":           {`"\ud83d\ud83d\ude00"`, "\"\ufffd\\ud83d\\ude00\""},
		"escaped backslash":    {`"\\ud83d"`, `"\\ud83d"`},
		"two and an escape":    {`"\\\ud83d"`, "\"\\\\\ufffd\""},
		"no surrogate":         {`"\ud7ff\ue000"`, `"\ud7ff\ue000"`},
		"as deep as can be":    {nested(maxNesting), nested(maxNesting)},
		"too deep":             {nested(maxNesting + 2), ""},
		"brackets in a string": {`"` + strings.Repeat(`[{\"`, 2000) + `"`, `"` + strings.Repeat(`[{\"`, 2000) + `"`},
		"broad":                {"[" + strings.Repeat("[],", 3000) + "0]", "[" + strings.Repeat("[],", 3000) + "0]"},
	} {
		if got := string(CleanJSON([]byte(c.in))); got != c.want {
			t.Errorf("%s: %.60q, want %.60q", name, got, c.want)
		}
	}
}

// What leaves is text, and JSON, that every parser takes, wherever in an
// activity the agent's bytes are none.
func TestBytesThatAreNoText(t *testing.T) {
	for name, in := range map[string]string{
		"text":              "{\"type\":\"message\",\"text\":\"a\xffb\"}",
		"escape in a text":  `{"type":"message","text":"a\ud83db"}`,
		"id":                "{\"type\":\"message\",\"id\":\"\xff\",\"text\":\"a\"}",
		"value":             "{\"type\":\"message\",\"value\":{\"\xff\":\"\xff\"}}",
		"escape in a value": `{"type":"message","value":{"a":"\udc00"}}`,
		"deep value":        `{"type":"message","text":"a","value":` + nested(2000) + `}`,
		"entity":            "{\"type\":\"message\",\"entities\":[{\"type\":\"\xff\",\"a\":\"\xff\"}]}",
		"deep entity":       `{"type":"message","entities":[{"type":"e","a":` + nested(2000) + `}]}`,
		"card":              "{\"type\":\"message\",\"attachments\":[{\"contentType\":\"\xff\",\"name\":\"\xff\",\"content\":{\"text\":\"\xff\"}}]}",
		"deep card":         `{"type":"message","attachments":[{"contentType":"c","content":` + nested(2000) + `}]}`,
		"piece":             "{\"type\":\"typing\",\"id\":\"\xff\",\"text\":\"a\xffb\",\"channelData\":{\"streamType\":\"streaming\",\"streamId\":\"\xfe\"}}",
	} {
		if n := checkLeaving(t, []byte(in)); n == 0 {
			t.Errorf("%s: nothing left", name)
		}
	}
}

// checkLeaving reads an activity as an answer and judges what comes of it. It
// returns the number of events.
func checkLeaving(t *testing.T, raw []byte) int {
	t.Helper()
	var events []Event
	r := &response{sent: "c", yield: func(e Event, _ error) bool { events = append(events, e); return true }}
	if r.identify("c") != nil || r.activity(raw) != nil {
		return 0
	}
	_ = r.finish()
	for _, e := range events[1:] {
		m := e.Message
		parts := append([]json.RawMessage{m.Value}, m.Entities...)
		for _, a := range m.Attachments {
			parts = append(parts, a.Content)
			for _, s := range []string{a.ContentType, a.Name, a.URL, a.Title, a.Text, Placeholder([]Attachment{a})} {
				if !utf8.ValidString(s) {
					t.Errorf("%q in an attachment", s)
				}
			}
		}
		for _, p := range parts {
			if p != nil && !isClean(p) {
				t.Errorf("JSON leaves as %.80q", p)
			}
		}
		for _, s := range []string{e.StreamID, e.Text, m.ID, m.Text, m.StreamID, m.ErrorCode} {
			if !utf8.ValidString(s) {
				t.Errorf("%q leaves", s)
			}
		}
	}
	return len(events) - 1
}

// isClean judges JSON in another way than it is made.
func isClean(raw []byte) bool {
	var v any
	if !utf8.Valid(raw) || json.Unmarshal(raw, &v) != nil {
		return false
	}
	depth := func(v any) int { return 0 }
	depth = func(v any) int {
		deepest := 0
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				deepest = max(deepest, depth(e))
			}
		case map[string]any:
			for _, e := range v {
				deepest = max(deepest, depth(e))
			}
		default:
			return 0
		}
		return deepest + 1
	}
	if depth(v) > 1000 {
		return false
	}
	// A half of a character decodes to U+FFFD, so that it differs from JSON in
	// which such escapes stand for something else.
	for i := 0; i+6 <= len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		unit, n := escaped(raw[i:])
		if n == 0 {
			i++
			continue
		}
		if utf16.IsSurrogate(unit) {
			low, m := escaped(raw[i+n:])
			if utf16.DecodeRune(unit, low) == utf8.RuneError {
				return false
			}
			n += m
		}
		i += n - 1
	}
	return true
}

func FuzzActivity(f *testing.F) {
	for _, s := range []string{
		`{"type":"message","text":"a\ud83d\ude00\n","value":{"a":"\ud83d"},"entities":[{"type":"e"}],"attachments":[{"contentType":"c","content":{"title":"\udc00"}}]}`,
		"{\"type\":\"typing\",\"id\":\"\xff\",\"text\":\"\xf0\x9f\",\"channelData\":{\"streamType\":\"streaming\",\"streamSequence\":1}}",
		`{"type":"message","text":"\u00e9\\\"\/\b\f\r\t"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		checkLeaving(t, raw)
		// Texts without halves decode as encoding/json decodes them.
		var want string
		if json.Unmarshal(raw, &want) == nil && utf8.Valid(raw) && !hasSurrogate(raw) {
			if got, ok := decodeText([]byte(strings.TrimSpace(string(raw)))); ok && got != want {
				t.Errorf("decodeText(%q) = %q, want %q", raw, got, want)
			}
		}
	})
}

func TestAttachments(t *testing.T) {
	for _, c := range []struct{ in, label, placeholder string }{
		{`{"contentType":"application/vnd.microsoft.card.oauth","content":{"text":"Please sign in","connectionName":"x"}}`, "sign-in card", "[sign-in card that cannot be shown here] Please sign in"},
		{`{"contentType":"application/vnd.microsoft.card.Signin; v=1","content":{}}`, "sign-in card", "[sign-in card that cannot be shown here]"},
		{`{"contentType":"application/vnd.microsoft.card.hero","content":{"title":" Desk ","text":"Oak"}}`, "hero card", "[hero card that cannot be shown here] Desk Oak"},
		{`{"contentType":"application/vnd.microsoft.card.receipt","content":{"title":7}}`, "receipt card", "[receipt card that cannot be shown here]"},
		{`{"contentType":"application/vnd.microsoft.card.video","content":[]}`, "video card", "[video card that cannot be shown here]"},
		{`{"contentType":"application/vnd.microsoft.card.adaptive","content":"x"}`, "card", "[card that cannot be shown here]"},
		{`{"contentType":"image/png","contentUrl":"https://a.example/b","name":"plan.png"}`, "image", "[image that cannot be shown here] plan.png"},
		{`{"contentType":"application/pdf","name":"plan.pdf"}`, "file", "[file that cannot be shown here] plan.pdf"},
		{`{}`, "file", "[file that cannot be shown here]"},
	} {
		a, err := decodeActivity([]byte(`{"type":"message","attachments":[` + c.in + `]}`))
		if err != nil || len(a.attachments) != 1 {
			t.Fatalf("%s: %v", c.in, err)
		}
		at := a.attachments[0]
		if m := a.message(); m.Empty() || at.Label() != c.label || Placeholder(m.Attachments) != c.placeholder {
			t.Errorf("%s: %q, %q", c.in, at.Label(), Placeholder(m.Attachments))
		}
	}
	if Placeholder(nil) != "" {
		t.Error("a placeholder for nothing")
	}
}

// TestDataAlone: a message of data alone says that there is nothing to show.
func TestDataAlone(t *testing.T) {
	for in, empty := range map[string]bool{
		`{"type":"message","value":{"a":1}}`:                                     true,
		`{"type":"message","text":" \n","entities":[{"type":"e","a":1}]}`:        true,
		`{"type":"message","text":"a","value":{"a":1}}`:                          false,
		`{"type":"message","value":{"a":1},"attachments":[{"contentType":"c"}]}`: false,
	} {
		a, err := decodeActivity([]byte(in))
		if err != nil || a.message().Empty() != empty || a.value == nil && a.entities == nil {
			t.Errorf("%s: %+v, %v", in, a.message(), err)
		}
	}
}
