package wire_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"parley/store"
	"parley/store/internal/wire"
	"parley/testdata"
)

var update = flag.Bool("update", false, "write the golden files")

// now is what records without a time of their own are given.
var now = time.Date(2026, 11, 22, 12, 0, 0, 123_456_789, time.UTC)

type fixture struct {
	ID       string
	Fields   map[string]string
	Elements []string
}

func decode(t *testing.T, name string, data []byte) (store.Conversation, error) {
	t.Helper()
	if strings.HasPrefix(name, "legacy-") {
		return wire.DecodeLegacy(data, now)
	}
	var f fixture
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	owner := store.Owner{Tenant: store.DefaultTenant, User: store.DefaultUser}
	if f.Fields[wire.FieldTenant] != "" {
		owner = store.Owner{Tenant: f.Fields[wire.FieldTenant], User: f.Fields[wire.FieldUser]}
	}
	c, err := wire.DecodeConversation(owner, f.ID, f.Fields)
	if err != nil {
		return c, err
	}
	c.Messages, err = wire.DecodeElements(f.Elements)
	return c, err
}

// STATE-01 to STATE-06: records of every generation load, what they do not have
// has its default.
func TestGenerations(t *testing.T) {
	names, err := fs.Glob(testdata.Wire, "wire/*.json")
	if err != nil || len(names) < 6 {
		t.Fatalf("fixtures: %v, %v", names, err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			data, err := testdata.Wire.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			c, err := decode(t, filepath.Base(name), data)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(c, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(name, ".json") + ".golden"
			if *update {
				if err := os.WriteFile(filepath.Join("../../../testdata", golden), append(got, '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := testdata.Wire.ReadFile(golden)
			if err != nil || !bytes.Equal(append(got, '\n'), want) {
				t.Errorf("decodes to\n%s\nwant (%v)\n%s", got, err, want)
			}
		})
	}
}

func TestBadRecords(t *testing.T) {
	good := map[string]string{wire.FieldVersion: "1", wire.FieldCreated: "2026-11-22T09:15:04.120Z"}
	owner := store.Owner{Tenant: store.DefaultTenant, User: store.DefaultUser}
	if _, err := wire.DecodeConversation(owner, "x", good); err != nil {
		t.Fatal(err)
	}
	for field, value := range map[string]string{
		wire.FieldVersion: "2", wire.FieldCreated: "yesterday", wire.FieldUpdated: "1", wire.FieldStatus: "open",
		wire.FieldTurns: "-1", wire.FieldStepData: "{", wire.FieldMetadata: "secret", wire.FieldUser: "somebody else",
	} {
		bad := map[string]string{}
		for k, v := range good {
			bad[k] = v
		}
		bad[field] = value
		_, err := wire.DecodeConversation(owner, "x", bad)
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s = %q: error %v does not name the field", field, value, err)
		}
		if err != nil && value != "" && len(value) > 2 && strings.Contains(err.Error(), value) {
			t.Errorf("%s: error %v repeats the value", field, err)
		}
	}
	for _, bad := range []string{"", "{}", "x {}", "-1 {}", "1", "1 ", "1 {", `1 {"id":"a","role":"robot","kind":"text"}`, `1 {"id":"","role":"user","kind":"text"}`, `1 {"id":"a","role":"user","kind":"film"}`, "1 null", `1 {"id":"a","role":"user","kind":"text","text":7}`} {
		if m, err := wire.DecodeElement(bad); err == nil {
			t.Errorf("element %q decodes to %+v", bad, m)
		}
	}
	for _, bad := range []string{"", "{", "null", "[]", `{"history":[]}`, `{"externalId":"a","status":"open"}`, `{"externalId":"a","createdAt":"x"}`, `{"externalId":"a","history":[{"role":"robot"}]}`} {
		if c, err := wire.DecodeLegacy([]byte(bad), now); err == nil {
			t.Errorf("record %q decodes to %+v", bad, c)
		}
	}
}

// Budget: at most 60 bytes beside what the caller wanted stored.
func TestMessageOverhead(t *testing.T) {
	m := store.Message{ID: strings.Repeat("i", 36), Turn: 1234, Role: store.RoleAssistant, Kind: store.KindText, Text: strings.Repeat("x", 500)}
	plain, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := wire.EncodeMessage(m)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(wire.Element(m.Turn, encoded)); n > len(plain)+60 {
		t.Errorf("element has %d bytes for %d", n, len(plain))
	}
}

func TestOwnerTag(t *testing.T) {
	seen := map[string]store.Owner{}
	for _, o := range []store.Owner{{}, {Tenant: "ab", User: "c"}, {Tenant: "a", User: "bc"}, {Tenant: "c", User: "ab"}, {User: "abc"}, {Tenant: "abc"}, {Tenant: "a\x00b", User: "{x}"}} {
		tag := wire.OwnerTag(o)
		if other, ok := seen[tag]; ok {
			t.Errorf("%+v and %+v share a tag", o, other)
		}
		if len(tag) != 26 || strings.Trim(tag, "abcdefghijklmnopqrstuvwxyz234567") != "" {
			t.Errorf("tag %q", tag)
		}
		seen[tag] = o
	}
}

func FuzzElement(f *testing.F) {
	f.Add(`3 {"id":"m","role":"user","kind":"text","text":"é"}`)
	f.Add(`0 {"id":"m","role":"assistant","kind":"adaptiveCard","cardJson":{"a":[1]},"cardId":"c"}`)
	f.Fuzz(func(t *testing.T, s string) {
		m, err := wire.DecodeElement(s)
		if err != nil {
			return
		}
		encoded, err := wire.EncodeMessage(m)
		if err != nil {
			t.Fatalf("%+v does not encode: %v", m, err)
		}
		again, err := wire.DecodeElement(wire.Element(m.Turn, encoded))
		if err != nil {
			t.Fatal(err)
		}
		if a, b := mustJSON(t, m), mustJSON(t, again); a != b {
			t.Errorf("%s became %s", a, b)
		}
	})
}

func FuzzRecord(f *testing.F) {
	f.Add(wire.Record{Fingerprint: "fp", Turn: 2, Done: true, First: 3, Count: 1, Extra: `{"a": "b c"}`}.Encode())
	f.Add("fp 0 0 0 0 ")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := wire.DecodeRecord(s)
		if err != nil {
			return
		}
		if again, err := wire.DecodeRecord(r.Encode()); err != nil || !reflect.DeepEqual(r, again) {
			t.Errorf("%+v became %+v, %v", r, again, err)
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add(wire.Cursor{Score: float64(now.UnixMilli()), ID: "id"}.Encode())
	f.Add(wire.Cursor{Score: 0.5, ID: "ID"}.Encode())
	f.Fuzz(func(t *testing.T, s string) {
		c, err := wire.DecodeCursor(s)
		if err != nil {
			return
		}
		if again, err := wire.DecodeCursor(c.Encode()); err != nil || again != c {
			t.Errorf("%+v became %+v, %v", c, again, err)
		}
	})
}

func FuzzLegacy(f *testing.F) {
	names, _ := fs.Glob(testdata.Wire, "wire/legacy-*.json")
	for _, name := range names {
		data, err := testdata.Wire.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := wire.DecodeLegacy(data, now)
		if err != nil {
			return
		}
		got, err := wire.DecodeConversation(c.Owner, c.ID, wire.ImportFields(c))
		if err != nil {
			t.Fatalf("what was converted does not decode: %v", err)
		}
		c.Messages = nil
		if a, b := mustJSON(t, c), mustJSON(t, got); a != b {
			t.Errorf("%s became %s", a, b)
		}
	})
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
