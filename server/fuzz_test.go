package server

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// FuzzRequest reads what a client may send as net/http does and has it answered.
// Whatever it is, it is the client's fault: no answer is a 5xx, and every failure
// is a problem body of a class that exists.
func FuzzRequest(f *testing.F) {
	for _, raw := range knownRequests(f) {
		f.Add(raw)
	}
	for _, target := range []string{
		"GET /api/chat/conversations?limit=50&cursor=eyJ9", "GET /api/chat/conversations?cursor=%00&cursor=", "GET /api/chat/conversations/%2e%2e",
		"GET /api/chat/conversations/00000000-0000-7000-8000-000000000001?after=-0", "DELETE /api/chat/conversations/{00000000-0000-7000-8000-000000000001}",
		"OPTIONS *", "GET /..%2f.env", "GET /%2egit/config", "CONNECT example:1", "GET /assets/..\\.env", "TRACE /", "GET http://other/health",
	} {
		f.Add([]byte(target + " HTTP/1.1\r\nHost: x\r\nTraceparent: 00-0123456789abcdef0123456789abcdef-0123456789abcdef-01\r\nAccept: text/event-stream\r\n\r\n"))
	}
	front := fstest.MapFS{"index.html": {Data: []byte("front")}, ".env": {Data: []byte(secret)}, ".git/config": {Data: []byte(secret)}, "assets/.htpasswd": {Data: []byte(secret)}}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return
		}
		w := newHarness(t, nil, func(c *Config) { c.Static, c.CORSOrigin = front, "https://chat.example" })
		w.start()
		rec := httptest.NewRecorder()
		w.server.ServeHTTP(rec, r.WithContext(t.Context()))
		if rec.Code >= 500 || rec.Code < 200 {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		if strings.Contains(rec.Body.String(), secret) {
			t.Error("a hidden file is served")
		}
		if rec.Code < 400 || r.Method == http.MethodOptions {
			return
		}
		var p problem
		if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil || p.Status != rec.Code || p.Class == classInternal || rowOf(p.Class).Class != p.Class {
			t.Errorf("%d %s (%v)", rec.Code, rec.Body, err)
		}
	})
}

// knownRequests are those of the golden files, as they go over the wire.
func knownRequests(f *testing.F) [][]byte {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("..", "testdata", "api", "*.json"))
	if err != nil || len(files) == 0 {
		f.Fatalf("%d files, %v", len(files), err)
	}
	var all [][]byte
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		var golden struct{ Request call }
		if err := json.Unmarshal(b, &golden); err != nil {
			f.Fatal(err)
		}
		var raw bytes.Buffer
		if err := golden.Request.request(f.Context()).Write(&raw); err != nil {
			f.Fatal(err)
		}
		all = append(all, raw.Bytes())
	}
	return all
}

// FuzzIDs: what passes for a conversation's id is one, in its one form.
func FuzzIDs(f *testing.F) {
	for _, seed := range []string{unknown, strings.ToUpper(unknown), "{" + unknown + "}", "urn:uuid:" + unknown, strings.ReplaceAll(unknown, "-", ""), "", "../x", unknown + "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := conversationID(s)
		if err != nil {
			if Class(err) != classInvalid || id != "" {
				t.Errorf("%q: %q, %v", s, id, err)
			}
			return
		}
		again, err := conversationID(id)
		if err != nil || again != id || !strings.EqualFold(id, s) || strings.Trim(id, "0123456789abcdef-") != "" {
			t.Errorf("%q gives %q, and that %q, %v", s, id, again, err)
		}
	})
}

// FuzzAllowedURL: a link that is let through leads where it says, however it is
// read: the text between the scheme and the first of / ? # is a host that is
// allowed.
func FuzzAllowedURL(f *testing.F) {
	for _, seed := range []string{
		"https://microsoft.com", "https://learn.microsoft.com:443/x?y=https://e#z", "https://microsoft.com@evil.example", "https://evil.example\\.microsoft.com",
		"https://evil.example#.microsoft.com", "https://microsoft.com%2eevil.example", "https:microsoft.com", "//microsoft.com", "https://[::1]",
	} {
		f.Add(seed)
	}
	policy := cardPolicy{domains: normalDomains(DefaultDomains())}
	f.Fuzz(func(t *testing.T, link string) {
		if !policy.allowURL(link) {
			return
		}
		scheme, rest, _ := strings.Cut(strings.ToLower(link), "://")
		host := rest
		if end := strings.IndexAny(rest, "/?#"); end >= 0 {
			host = rest[:end]
		}
		host = strings.TrimSuffix(strings.TrimSuffix(host, ":443"), ".")
		if scheme != "https" || host != "microsoft.com" && !strings.HasSuffix(host, ".microsoft.com") || strings.ContainsAny(host, "@\\%:[ ") {
			t.Errorf("%q leads to %q", link, host)
		}
	})
}
