package emulator_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"parley/server/copilot/emulator"
)

func TestStart(t *testing.T) {
	s := serve(t, emulator.Options{Greeting: "Hello!"})
	r := s.post("/conversations"+version, `{"emitStartConversationEvent":true,"locale":"tr-TR"}`)
	if r.status != 200 || r.header.Get("Content-Type") != "text/event-stream" || r.header.Get("Cache-Control") != "no-cache" || len(r.id()) != 36 {
		t.Errorf("start = %d, %v", r.status, r.header)
	}
	if !strings.HasSuffix(r.body, "\n\nevent: end\ndata: end\n\n") || r.text(t) != "Hello!" {
		t.Errorf("body = %q", r.body)
	}
	a := r.activities(t)[0]
	for _, want := range []string{"type", "id", "timestamp", "from", "conversation", "text"} {
		if v := a[want]; v == nil || v == "" {
			t.Errorf("activity without %s: %v", want, a)
		}
	}
	if r := s.post("/conversations"+version, `{}`); r.text(t) != "Hello!" {
		t.Errorf("empty body: %q", r.body)
	}
	if r := s.post("/conversations"+version, `{"emitStartConversationEvent":false}`); r.body != "event: end\ndata: end\n\n" || r.id() == "" {
		t.Errorf("silent: %q", r.body)
	}
	if got := s.Requests(); len(got) != 3 || got[0].Kind != emulator.KindStart || got[0].Locale != "tr-TR" || got[0].Conversation == "" || !got[2].Silent {
		t.Errorf("requests = %+v", got)
	}
}

// TestWantedID: the path comes before the header, the header before the body.
func TestWantedID(t *testing.T) {
	s := serve(t, emulator.Options{})
	if r := s.post("/conversations"+version, `{"conversationId":"from-body"}`); r.id() != "from-body" {
		t.Errorf("body: %q", r.id())
	}
	s.header["x-ms-conversation-id"] = "from-header"
	if r := s.post("/conversations"+version, `{"conversationId":"from-body"}`); r.id() != "from-header" {
		t.Errorf("header: %q", r.id())
	}
	if r := s.post("/conversations/from%2Fpath"+version, `{"conversationId":"from-body"}`); r.id() != "from/path" {
		t.Errorf("path: %q", r.id())
	}
}

func TestTurns(t *testing.T) {
	s := serve(t, emulator.Options{})
	one, two := s.start(), s.start()
	for i, tt := range []struct{ id, text, want string }{
		{one, "hello", "You said (turn 1): hello"},
		{two, "hi", "You said (turn 1): hi"},
		{one, "/unknown x", "You said (turn 2): /unknown x"},
		{one, "a/b", "You said (turn 3): a/b"},
	} {
		if r := s.say(tt.id, tt.text); r.text(t) != tt.want || r.id() != tt.id {
			t.Errorf("%d: %q in %s, want %q", i, r.text(t), r.id(), tt.want)
		}
	}
	r := s.post("/conversations/"+one+version, `{"conversationId":"x","unknown":1,"activity":{"type":"message","_channelId":"webchat","value":{"b":{"c":1},"a":"Allow"},"channelData":{"postBack":true}}}`)
	if want := `You submitted (turn 4): a="Allow", b={"c":1}`; r.text(t) != want {
		t.Errorf("submit: %q, want %q", r.text(t), want)
	}
	if r := s.post("/conversations"+version, `{"activity":{"type":"message","text":"x","conversation":{"id":"`+two+`"}}}`); r.text(t) != "You said (turn 2): x" {
		t.Errorf("id in the activity: %q", r.body)
	}
	if r := s.post("/conversations/"+two+version, `{"activity":{"type":"event","name":"pvaSetContext","value":{}}}`); r.body != "event: end\ndata: end\n\n" {
		t.Errorf("event: %q", r.body)
	}
	fresh := s.say("0a000000-0000-4000-8000-00000000000A", "x")
	if fresh.text(t) != "You said (turn 1): x" || fresh.id() == "0a000000-0000-4000-8000-00000000000A" {
		t.Errorf("unknown conversation: %q, %s", fresh.body, fresh.id())
	}
	if r := s.say("somebody-elses", "x"); len(r.activities(t)) != 0 || r.status != 200 {
		t.Errorf("id of another service: %+v", r)
	}
	s.Forget(one)
	if r := s.say(one, "x"); r.id() == one || r.text(t) != "You said (turn 1): x" {
		t.Errorf("forgotten: %q, %s", r.body, r.id())
	}
}

func TestRefusals(t *testing.T) {
	s := serve(t, emulator.Options{Token: "x"})
	big := `{"activity":{"type":"message","text":"` + strings.Repeat("x", 1<<20) + `"}}`
	for _, tt := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/elsewhere" + version, `{}`, 404},
		{"POST", "/conversations/a/subscribe" + version, `{}`, 404},
		{"GET", "/conversations" + version, ``, 405},
		{"POST", "/conversations", `{}`, 400},
		{"POST", "/conversations" + version, ``, 400},
		{"POST", "/conversations" + version, `[]`, 400},
		{"POST", "/conversations" + version, `{`, 400},
		{"POST", "/conversations/a" + version, `{"activity":{}}`, 400},
		{"POST", "/conversations" + version, `{"activity":{"type":"message","text":"x"}}`, 400},
		{"POST", "/conversations/a" + version, big, 413},
	} {
		if r := s.do(tt.method, tt.path, tt.body); r.status != tt.status || !strings.Contains(r.body, `"code":`) {
			t.Errorf("%s %s %.30s = %d %.80s, want %d", tt.method, tt.path, tt.body, r.status, r.body, tt.status)
		}
	}
	for _, header := range []string{"", "Bearer y", "Basic x", "Bearer x "} {
		s.header["Authorization"] = header
		r := s.post("/conversations"+version, `{}`)
		want := 401
		if header == "Bearer x " {
			want = 200 // surrounding space is no part of a header
		}
		if r.status != want || want == 401 && (r.header.Get("WWW-Authenticate") != "Bearer" || r.body != "") {
			t.Errorf("%q = %d %v %q", header, r.status, r.header, r.body)
		}
	}
	if n := len(s.Requests()); n != 14 {
		t.Errorf("%d requests remembered, want 14", n)
	}
}

func TestOwners(t *testing.T) {
	jwt := func(claims string) string {
		return "Bearer e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".sig"
	}
	s := serve(t, emulator.Options{StrictOwner: true})
	s.header["Authorization"] = jwt(`{"oid":"a","exp":1}`)
	id := s.start()
	for claims, want := range map[string]int{`{"oid":"a","exp":2}`: 200, `{"oid":"b"}`: 403, `{"sub":"c"}`: 403, `{}`: 403} {
		s.header["Authorization"] = jwt(claims)
		if r := s.say(id, "x"); r.status != want || want == 403 && !strings.Contains(r.body, "CallerIdentityMismatch") {
			t.Errorf("%s = %d %s, want %d", claims, r.status, r.body, want)
		}
	}
}

func TestCommands(t *testing.T) {
	s := serve(t, emulator.Options{})
	tests := []struct {
		say    string
		status int
		has    string // in the body
		cut    bool
		header [2]string
	}{
		{say: "/help", status: 200, has: "/stream-cumulative"},
		{say: "[CONTEXT]\nstep\n[/CONTEXT]\n\n/two", status: 200, has: "Second of turn 1."},
		{say: "/card", status: 200, has: "AdaptiveCard"},
		{say: "/payload value", status: 200, has: `"value":{"product":"Standing desk","quantity":2}`},
		{say: "/payload entities", status: 200, has: `"type":"recommendation"`},
		{say: "/payload text", status: 200, has: "```json"},
		{say: "/error X1", status: 200, has: "Error code: X1."},
		{say: "/end", status: 200, has: `"code":"completedSuccessfully"`},
		{say: "/empty", status: 200, has: "event: end\ndata: end\n\n"},
		{say: "/noise", status: 200, has: `"type":"trace"`},
		{say: "/slow 1ms", status: 200, has: "Sorry for the wait"},
		{say: "/heartbeat 1ms 1", status: 200, has: ": still here\n\n"},
		{say: "/json", status: 200, has: `"action":"waiting"`, header: [2]string{"Content-Type", "application/json; charset=utf-8"}},
		{say: "/stream a b", status: 200, has: `"streamType":"final"`},
		{say: "/stream-cumulative a b", status: 200, has: `"text":"a b"`},
		{say: "/stream-shuffled a b", status: 200, has: `"text":"late"`},
		{say: "/stream-no-final a b", status: 200, has: `"text":" b"`},
		{say: "/cut", status: 200, has: "There is more to say", cut: true},
		{say: "/mid-cut", status: 200, has: "event: activity\ndata: {", cut: true},
		{say: "/hang-up", cut: true},
		{say: "/no-end", status: 200, has: "That is all"},
		{say: "/oversize 100000", status: 200, has: strings.Repeat("x", 100000)},
		{say: "/garbage", status: 200, has: "data: {\"type\":\"message\",\"text\":\n\n"},
		{say: "/html", status: 200, has: "<!doctype html>", header: [2]string{"Content-Type", "text/html; charset=utf-8"}},
		{say: "/no-type", status: 200, has: "What am I?", header: [2]string{"Content-Type", ""}},
		{say: "/no-id", status: 200, has: "Who am I?", header: [2]string{"X-Ms-Conversationid", ""}},
		{say: "/bad-id", status: 200, has: "Who am I?", header: [2]string{"X-Ms-Conversationid", "../admin?x=1"}},
		{say: "/error-event", status: 200, has: "event: error\ndata: {\"error\":{\"code\":\"InternalServerError\""},
		{say: "/done", status: 200, has: "data: [DONE]\n\n"},
		{say: "/odd", status: 200, has: "event: end\r\r"},
		{say: "/status 204", status: 204},
		{say: "/status 418", status: 418, has: `"code":"Emulated"`},
		{say: "/status x", status: 200, has: "needs a number"},
		{say: "/401", status: 401, header: [2]string{"Www-Authenticate", "Bearer"}},
		{say: "/403", status: 403, has: "InsufficientDelegatedPermissions"},
		{say: "/429", status: 429, has: "TooManyRequests"},
		{say: "/429 2", status: 429, header: [2]string{"Retry-After", "2"}},
		{say: "/redirect http://x/", status: 307, header: [2]string{"Location", "http://x/"}},
		{say: "/huge-error", status: 500, has: "xxxx"},
	}
	for _, tt := range tests {
		t.Run(tt.say, func(t *testing.T) {
			id := s.start()
			r := s.say(id, tt.say)
			if r.status != tt.status || r.cut != tt.cut || !strings.Contains(r.body, tt.has) {
				t.Errorf("status %d, cut %t, body %.200q, want %d, %t, %.40q", r.status, r.cut, r.body, tt.status, tt.cut, tt.has)
			}
			if k := tt.header[0]; k != "" && r.header.Get(k) != tt.header[1] {
				t.Errorf("%s = %q, want %q", k, r.header.Get(k), tt.header[1])
			}
			// A turn that was refused did not take place.
			want := "You said (turn 2): x"
			if r.status != 200 || tt.say == "/status x" {
				want = "You said (turn 1): x"
			}
			if got := s.say(id, "x").text(t); tt.say != "/hang-up" && got != want {
				t.Errorf("next turn = %q, want %q", got, want)
			}
		})
	}
	t.Run("/restart", func(t *testing.T) {
		id := s.start()
		if r := s.say(id, "/restart"); r.id() == id || r.text(t) != "Have we met? (turn 1)" {
			t.Errorf("%s, %q", r.id(), r.body)
		}
	})
}

// TestEndlessAnswersEnd when the client leaves.
func TestEndlessAnswersEnd(t *testing.T) {
	for _, say := range []string{"/silent", "/stall", "/nothing", "/endless", "/endless 1h", "/slow 1h", "/heartbeat 1h"} {
		synctest.Test(t, func(t *testing.T) {
			e := emulator.New(emulator.Options{})
			ctx, cancel := context.WithCancel(t.Context())
			w := newPipeWriter()
			req := httptest.NewRequestWithContext(ctx, http.MethodPost, "/conversations/0a000000-0000-4000-8000-000000000000"+version,
				strings.NewReader(`{"activity":{"type":"message","text":"`+say+`"}}`))
			done := make(chan struct{})
			go func() { defer close(done); e.ServeHTTP(w, req) }()
			if say == "/endless" {
				line, err := bufio.NewReader(w.r).ReadString('\n')
				if err != nil || line != "event: activity\n" {
					t.Errorf("first line %q, %v", line, err)
				}
				_ = w.r.Close()
			} else {
				go func() { _, _ = io.Copy(io.Discard, w.r) }()
				synctest.Wait()
			}
			select {
			case <-done:
				if say != "/endless" {
					t.Errorf("%s ended by itself", say)
				}
			default:
			}
			cancel()
			<-done
			_ = w.w.Close()
		})
	}
}

type pipeWriter struct {
	r *io.PipeReader
	w *io.PipeWriter
	h http.Header
}

func newPipeWriter() *pipeWriter {
	r, w := io.Pipe()
	return &pipeWriter{r, w, http.Header{}}
}

func (p *pipeWriter) Header() http.Header         { return p.h }
func (p *pipeWriter) WriteHeader(int)             {}
func (p *pipeWriter) Write(b []byte) (int, error) { return p.w.Write(b) }

func TestScripts(t *testing.T) {
	s := serve(t, emulator.Options{Script: func(r emulator.Request) string {
		if r.Text == "please fail" {
			return "/status 502"
		}
		return ""
	}})
	id := s.start()
	if r := s.say(id, "please fail"); r.status != 502 {
		t.Errorf("script: %d", r.status)
	}
	s.Next(emulator.KindStart, "/status 500", "/401")
	s.Next(emulator.KindTurn, "/two")
	if r := s.say(id, "x"); !strings.Contains(r.body, "Second of turn 1.") {
		t.Errorf("queued turn: %q", r.body)
	}
	for _, want := range []int{500, 401, 200} {
		if r := s.post("/conversations"+version, `{}`); r.status != want {
			t.Errorf("queued start = %d, want %d", r.status, want)
		}
	}
}

func TestJSONMode(t *testing.T) {
	s := serve(t, emulator.Options{})
	s.header["Accept"] = "application/json"
	id := s.start()
	r := s.say(id, "/two")
	var doc struct {
		ConversationID, Action string
		Activities             []map[string]any
	}
	if err := json.Unmarshal([]byte(r.body), &doc); err != nil || doc.ConversationID != id || doc.Action != "waiting" || len(doc.Activities) != 2 {
		t.Errorf("%v: %s", err, r.body)
	}
	if r := s.say(id, "/empty"); !strings.Contains(r.body, `"activities":[]`) {
		t.Errorf("empty: %s", r.body)
	}
}

func TestBounds(t *testing.T) {
	s := serve(t, emulator.Options{MaxRequests: 5, MaxConversations: 3})
	var ids []string
	for range 5 {
		ids = append(ids, s.start())
	}
	if r := s.say(ids[0], "x"); r.id() == ids[0] {
		t.Error("the oldest conversation was not forgotten")
	}
	if r := s.say(ids[4], strings.Repeat("x", 10_000)); r.id() != ids[4] || len(r.text(t)) < 10_000 {
		t.Error("the newest conversation was forgotten")
	}
	got := s.Requests()
	if len(got) != 5 || got[4].Conversation != ids[4] || len(got[4].Text) != 8<<10 {
		t.Errorf("%d requests, last %+.100v", len(got), got)
	}
}

func TestConcurrentTurns(t *testing.T) {
	s := serve(t, emulator.Options{})
	id := s.start()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { s.say(id, "x") })
	}
	wg.Wait()
	if r := s.say(id, "x"); r.text(t) != "You said (turn 21): x" {
		t.Errorf("after 20 turns: %q", r.text(t))
	}
}
