package wire

import (
	"reflect"
	"strconv"
	"testing"
	"time"

	"parley/store"
)

// FuzzTime holds the reading of times to the library's: what it takes, and what comes out.
func FuzzTime(f *testing.F) {
	for _, seed := range []string{
		"2026-11-22T09:15:04.120Z", "2024-02-29T23:59:59.999Z", "2026-02-29T10:00:00.000Z", "2100-02-29T10:00:00.000Z", "2026-04-31T10:00:00.000Z",
		"2026-00-01T00:00:00.000Z", "2026-13-01T00:00:00.000Z", "2026-01-00T00:00:00.000Z", "2026-11-22T24:15:04.000Z", "2026-11-22T09:60:04.000Z",
		"2026-11-22T09:15:60.000Z", "2026-11-22T09:15:04Z", "2026-11-22T09:15:04.12Z", "2026-11-22t09:15:04.120Z", "2026-11-22T09:15:04,120Z", "0000-01-01T00:00:00.000Z", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := time.Parse(timeLayout, s)
		is := err == nil && Time(want) == s
		got, ok := parseTime([]byte(s))
		if ok != is || ok && (!got.Equal(want) || got.Location() != time.UTC) {
			t.Errorf("%q is %v, %v; the library says %v, %v", s, got, ok, want, err)
		}
	})
}

func FuzzNumber(f *testing.F) {
	for _, seed := range []string{"0", "1", "01", "-1", "+1", "-0", "1e3", "", "999999999999999", "9999999999999999", "1 "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := strconv.ParseInt(s, 10, 64)
		is := err == nil && n >= 0 && len(s) <= 15 && strconv.FormatInt(n, 10) == s
		if isNumber([]byte(s)) != is {
			t.Errorf("%q: %v, want %v", s, !is, is)
		}
	})
}

// A field is found under its name, in whatever order they come, and what is no field
// of a Set is passed over.
func TestSet(t *testing.T) {
	f := map[string]string{"f3": "internal", "somebody": "else's"}
	for n, name := range Fields {
		f[name] = strconv.Itoa(n)
	}
	if len(f) != fieldCount+2 {
		t.Fatal("two fields have the same name")
	}
	var got Set
	for name, v := range f {
		got.Put(name, []byte(v))
	}
	for n := range Fields {
		if string(got.values[n]) != strconv.Itoa(n) {
			t.Errorf("%s is %q", Fields[n], got.values[n])
		}
	}
	if !reflect.DeepEqual(&got, SetOf(f)) {
		t.Errorf("%+v, want %+v", &got, SetOf(f))
	}
}

// A summary says of a conversation what its fields say.
func TestSummary(t *testing.T) {
	o := store.Owner{Tenant: "t", User: "u"}
	const created, updated = "2026-11-22T09:15:04.120Z", "2026-11-23T10:00:00.000Z"
	for _, step := range []string{"", "a step", " of  spaces "} {
		got, err := DecodeSummary(o, "id", []byte(EncodeSummary(created, updated, "completed", "12", step)))
		if err != nil {
			t.Fatal(err)
		}
		want, err := DecodeConversation(o, "id", map[string]string{
			FieldVersion: Version, FieldTenant: "t", FieldUser: "u", FieldCreated: created, FieldUpdated: updated,
			FieldStatus: "completed", FieldTurns: "12", FieldStep: step,
		})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, want %+v, %v", got, want, err)
		}
	}
	for _, bad := range []string{
		"", "1", "1 " + created + " " + updated + " active 0", "2 " + created + " " + updated + " active 0 ", "1 x " + updated + " active 0 ",
		"1 " + created + " x active 0 ", "1 " + created + " " + updated + " open 0 ", "1 " + created + " " + updated + " active -1 ", "1  " + created + " " + updated + " active 0 ",
	} {
		if c, err := DecodeSummary(o, "id", []byte(bad)); err == nil {
			t.Errorf("%q is %+v", bad, c)
		}
	}
}

// What is written of a message of text alone is read the short way, and nothing else is.
func TestPlain(t *testing.T) {
	text := store.Message{ID: "0199d0b0-0000-7000-8000-000000000000", Role: store.RoleAssistant, Kind: store.KindText, Text: "two\nlines of \"<b>\" \u2028 日本語 🎉 \x7f"}
	empty, stopped, card, strange := text, text, text, text
	empty.Text, stopped.Stopped, strange.Role = "", true, "robot"
	card.Kind, card.Text, card.CardJSON = store.KindCard, "", []byte(`{"a":1}`)
	for name, c := range map[string]struct {
		m     store.Message
		plain bool
	}{"text": {text, true}, "no text": {empty, true}, "stopped": {stopped, false}, "card": {card, false}, "no role": {strange, false}} {
		encoded, err := EncodeMessage(c.m)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := plain(encoded); ok != c.plain || ok && !reflect.DeepEqual(got, c.m) {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
}
