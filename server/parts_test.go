package server

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"parley/server/turn"
)

func TestAllowedURLs(t *testing.T) {
	policy := cardPolicy{domains: normalDomains([]string{"Microsoft.com.", "", " copilot.microsoft.com"})}
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
		if got := policy.allowURL(link); got != want {
			t.Errorf("%q: %v", link, got)
		}
	}
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
			if whole := len(body) == 0 || !utf8.Valid(body) || tooDeep(body) || json.Valid(body); whole == (reasonOf(err) == reasonBodyNotJSON) {
				t.Errorf("%q: %s", body, reasonOf(err))
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
			_ = turn.Canonical(raw)
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
