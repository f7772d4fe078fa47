package wire

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"parley/store"
)

// FuzzDecodeElement holds the decoding of messages to the standard library's: what it
// takes, and what comes out.
func FuzzDecodeElement(f *testing.F) {
	for _, seed := range []string{
		`{"id":"1","role":"user","kind":"text","text":"a\nb \u00e9 \ud83d\ude00 \"quoted\""}`,
		`{"id":"1","role":"assistant","kind":"adaptiveCard","cardJson":{"a":[1,2.50,null,true]},"cardId":"c"}`,
		`{"id":"1","role":"assistant","kind":"text","extractedPayload":{"source":"text","confidence":"low","data":{"x":1}},"stopped":true}`,
		`{"ID":"1","Role":"user","KIND":"text","text":null,"unknown":{"deep":[[[]]]}}`,
		`{"id":"1","id":"2","role":"user","role":"assistant","kind":"text"}`,
		`{"id":"1","role":"user","kind":"text","turn":7,"text":"` + "\xff\xfe" + `"}`,
		`{"id":"1","role":"user","kind":"text","text":"\ud800"} `,
		`{"id":"1","role":"user","kind":"text","cardJson": { "a" : "\u003c" }}`,
		`{"id":"1","role":"user","kind":"text","cardJson":null}`,
		`{"id":1}`, `null`, `[]`, `{"id":"1","role":"user","kind":"text"}}`, `{"text":"` + strings.Repeat("x", 1000), ``,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, encoded string) {
		var want message
		err := json.Unmarshal([]byte(encoded), &want)
		if err == nil {
			want.Message.Turn = 3
			err = checkMessage(&want.Message)
		}
		got, gotErr := DecodeElement("3 " + encoded)
		if (err == nil) != (gotErr == nil) || gotErr != nil && !errors.Is(gotErr, errMessage) {
			t.Fatalf("%q: %v, the standard library says %v", encoded, gotErr, err)
		}
		if err == nil && !reflect.DeepEqual(got, want.Message) {
			t.Errorf("%q: %+v, the standard library reads %+v", encoded, got, want.Message)
		}
	})
}

// FuzzEncodeMessage holds what is written to what the standard library writes: both read
// the same, and a text that is as it was said is not longer.
func FuzzEncodeMessage(f *testing.F) {
	f.Add("1", "user", "a\nb \u00e9 \U0001F600 \"quoted\" <b>&\u2028\x7f\x00", "", "", false)
	f.Add("1", "assistant", "", "", "", false)
	f.Add("1", "assistant", "Error code: X", "", "X", false)
	f.Add("1", "assistant", "a", `{"a": [1]}`, "", false)
	f.Add("1", "assistant", "a", "", "", true)
	f.Add("\xff", "user", "a\xffb", "", "", false)
	f.Fuzz(func(t *testing.T, id, role, text, card, code string, stopped bool) {
		m := store.Message{ID: id, Role: store.Role(role), Kind: store.KindText, Text: text, AgentError: code, Stopped: stopped}
		if card != "" {
			m.CardJSON = json.RawMessage(card)
		}
		want, err := json.Marshal(message{Message: m})
		got, gotErr := EncodeMessage(m)
		if (err == nil) != (gotErr == nil) || len(got) > len(want) {
			t.Fatalf("%+v: %q, %v, the standard library writes %q, %v", m, got, gotErr, want, err)
		}
		var a, b message
		if err == nil && (json.Unmarshal([]byte(got), &a) != nil || json.Unmarshal(want, &b) != nil || !reflect.DeepEqual(a, b)) {
			t.Errorf("%+v: %q reads as %+v, the standard library's as %+v", m, got, a, b)
		}
	})
}

// BenchmarkEncodeMessage writes a message as most are.
func BenchmarkEncodeMessage(b *testing.B) {
	m := store.Message{ID: "0199d0b0-0000-7000-8000-000000000000", Role: store.RoleAssistant, Kind: store.KindText, Text: "You said \"hello there\",\nand this is what there is to say about it."}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := EncodeMessage(m); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodePage decodes a page of the largest messages.
func BenchmarkDecodePage(b *testing.B) {
	element := Element(1, `{"id":"0199d0b0-0000-7000-8000-000000000000","role":"user","kind":"text","text":"`+strings.Repeat(`some words in a line\n`, 64<<10/22)+`"}`)
	page := make([]string, 16)
	for i := range page {
		page[i] = element
	}
	b.SetBytes(int64(Bytes(page)))
	for b.Loop() {
		if _, err := DecodeElements(page); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeShort decodes a page of the messages that most are, in the form in which
// they are stored and in another that says the same.
func BenchmarkDecodeShort(b *testing.B) {
	for name, element := range map[string]string{
		"stored":  `12 {"id":"0199d0b0-0000-7000-8000-000000000000","role":"assistant","kind":"text","text":"You said hello there, and this is what there is to say about it."}`,
		"escaped": `12 {"id":"0199d0b0-0000-7000-8000-000000000000","role":"assistant","kind":"text","text":"You said \"hello there\",\nand this is what there is to say about it."}`,
		"other":   `12 {"id":"0199d0b0-0000-7000-8000-000000000000", "role":"assistant","kind":"text","text":"You said hello there, and this is what there is to say about it."}`,
	} {
		page := make([]string, 200)
		for i := range page {
			page[i] = element
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodeElements(page); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
