package report

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

const jwt = "eyJhbGciOiJSUzI1NiJ9.eyJvaWQiOiJ1In0.c2lnbmF0dXJl"

// What looks like a secret, or is one that the run made, is in no report.
func TestRedact(t *testing.T) {
	r := NewRedactor("hunter2hunter2", "hunter2hunter2-and-more", "dev")
	for text, want := range map[string]string{
		"Authorization: Bearer " + jwt:               "Authorization: Bearer [redacted]",
		"authorization: Basic dTpw":                  "authorization: Basic [redacted]",
		`{"Authorization": "Bearer abc"}`:            `{"Authorization": "Bearer [redacted]"}`,
		"sent a bearer abcdefghijklmnop.q":           "sent a bearer [redacted]",
		"a bearer token is asked for":                "a bearer token is asked for",
		"the token " + jwt + " is old":               "the token [redacted] is old",
		"redis://user:p%40ss@host:6379/0":            "redis://user:[redacted]@host:6379/0",
		"rediss://:pw@host":                          "rediss://:[redacted]@host",
		"http://127.0.0.1:8080/a@b":                  "http://127.0.0.1:8080/a@b",
		"Set-Cookie: sid=1; Path=/\nX: y":            "Set-Cookie: [redacted]\nX: y",
		`{"access_token":"a","token_type":"b"}`:      `{"access_token":"[redacted]","token_type":"b"}`,
		`"{\"client_secret\":\"s3\",\"x\":\"y\"}"`:   `"{\"client_secret\":\"[redacted]\",\"x\":\"y\"}"`,
		"POST grant=x&client_secret=abc&scope=s":     "POST grant=x&client_secret=[redacted]&scope=s",
		"it is hunter2hunter2-and-more, in the path": "it is [redacted], in the path",
		"dev is too short to be one":                 "dev is too short to be one",
	} {
		if got := r.Redact(text); got != want {
			t.Errorf("%q\n\tbecomes %q\n\twant    %q", text, got, want)
		}
	}
}

// A secret does not come through where a text is cut, before or behind the search.
func TestNothingOfASecretIsLeftAtACut(t *testing.T) {
	secret := strings.Repeat("s3cr3t", 40)
	r := NewRedactor(secret)
	for _, limit := range []int{maxAnswer, 1024} {
		for before := 0; before < 500; before += 97 {
			for _, at := range []int{limit - before, 16*limit + longestSecret - before} {
				if got := r.clean(strings.Repeat("x", max(0, at))+secret+secret, limit); strings.Contains(got, "s3cr3t") {
					t.Fatalf("limit %d: %q", limit, got)
				}
			}
		}
		// Secrets make the text shorter, so that its end is shown.
		if got := r.clean(strings.Repeat(secret, limit), limit); strings.Contains(got, "s3cr3t") {
			t.Errorf("limit %d: %q", limit, got)
		}
	}
}

// No text steers a terminal, turns the direction of what follows, or breaks UTF-8.
func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"a\tb\nc":            "a\tb\nc",
		"\x1b[31mred\x00":    `\x1b[31mred\x00`,
		"\r\x7f":             `\x0d\x7f`,
		"\u009b2J":           `\u009b2J`,
		"\u202egnp.exe":      `\u202egnp.exe`,
		"\u200b\ufeff\ufffe": `\u200b\ufeff\ufffe`,
		"\xff\xc3(":          `\xff\xc3(`,
		"grüß dich \u00a0日本": "grüß dich \u00a0日本",
		"\ufffd":             "\ufffd",
		"\u2028":             `\u2028`,
	} {
		if got := visible(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

// A finding has a bound, whatever a server answers.
func TestFindingIsBounded(t *testing.T) {
	large := strings.Repeat("ß", 1<<20)
	f := Finding{Reason: large, Answer: large, Sent: large, Expected: large, Came: large, Measures: []Measure{{Name: large, Unit: large}}}.clean(Redactor{})
	for _, text := range []string{f.Reason, f.Answer, f.Sent, f.Expected, f.Came, f.Measures[0].Name, f.Measures[0].Unit} {
		if len(text) > maxText+64 || !utf8.ValidString(text) || !strings.HasSuffix(text, "… (2097152 bytes in all)") {
			t.Errorf("%d bytes, ending in %q", len(text), text[len(text)-40:])
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration][2]string{
		0:                                     {"0 ms", "0"},
		1234567 * time.Nanosecond:             {"1 ms", "1.2"},
		2440 * time.Millisecond:               {"2.4 s", "2440"},
		3*time.Minute + 20*time.Second + 9999: {"3 min 20 s", "200000"},
	} {
		encoded, err := json.Marshal(Duration(d))
		if Duration(d).String() != want[0] || string(encoded) != want[1] || err != nil {
			t.Errorf("%d: %s, %s, %v", d, Duration(d), encoded, err)
		}
	}
	if got := Milliseconds("answer", 1234567*time.Nanosecond).String(); got != "answer 1.2 ms" {
		t.Error(got)
	}
}
