package copilot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"parley/server/copilot"
	"parley/server/copilot/emulator"
)

// answer is a handler that gives the same bytes to every request and keeps the
// last request.
type answer struct {
	status int
	header map[string]string
	body   string

	mu    sync.Mutex
	calls int
	last  *http.Request
	got   string
}

const end = "event: end\ndata: end\n\n"

func (a *answer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	a.calls, a.last, a.got = a.calls+1, r, string(b)
	a.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	_, _ = io.WriteString(w, a.body)
}

func TestRequests(t *testing.T) {
	overBoth(t, func(t *testing.T, to, _ connect) {
		a := &answer{header: map[string]string{"X-Ms-Conversationid": "c", "X-Ms-D2e-Experimental": "http://evil.example/"}, body: end}
		c := to(t, a, nil)
		me := copilot.Identity{User: "me"}
		tests := []struct {
			name, path, body string
			call             func() outcome
		}{
			{
				"start", "/bots/b/conversations", `{"emitStartConversationEvent":true}`,
				func() outcome { return collect(t, c.Start(t.Context(), copilot.Start{})) },
			},
			{
				"silent start", "/bots/b/conversations", `{"emitStartConversationEvent":false}`,
				func() outcome { return collect(t, c.Start(t.Context(), copilot.Start{Silent: true})) },
			},
			{
				"text", "/bots/b/conversations/c%7C1", `{"activity":{"type":"message","text":"a <b> & \"c\"","textFormat":"plain","from":{"id":"me","role":"user"},"conversation":{"id":"c|1"}}}`,
				func() outcome {
					return collect(t, c.Turn(t.Context(), copilot.Turn{Identity: me, ConversationID: "c|1", Text: `a <b> & "c"`}))
				},
			},
			{
				"value", "/bots/b/conversations/c", `{"activity":{"type":"message","from":{"role":"user"},"conversation":{"id":"c"},"channelData":{"postBack":true},"value":{"a":"<"}}}`,
				func() outcome {
					return collect(t, c.Turn(t.Context(), copilot.Turn{ConversationID: "c", Value: []byte(` {"a": "<"} `)}))
				},
			},
			{
				"value and text", "/bots/b/conversations/c", `{"activity":{"type":"message","text":"t","textFormat":"plain","from":{"role":"user"},"conversation":{"id":"c"},"channelData":{"postBack":true},"value":{}}}`,
				func() outcome {
					return collect(t, c.Turn(t.Context(), copilot.Turn{ConversationID: "c", Text: "t", Value: []byte(`{}`)}))
				},
			},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				if o := tt.call(); o.err != nil {
					t.Fatal(o.err)
				}
				if a.last.Method != http.MethodPost || a.last.RequestURI != tt.path+"?api-version=2022-03-01-preview" || a.got != tt.body {
					t.Errorf("request = %s %s\n%s, want\n%s", a.last.Method, a.last.RequestURI, a.got, tt.body)
				}
				for name, want := range map[string]string{
					"Authorization": "Bearer " + token, "Content-Type": "application/json", "Accept": "text/event-stream",
					"Accept-Encoding": "identity", "User-Agent": "parley",
				} {
					if got := a.last.Header.Get(name); got != want {
						t.Errorf("%s = %q, want %q", name, got, want)
					}
				}
			})
		}
	})
}

func TestRefusedWithoutAsking(t *testing.T) {
	overBoth(t, func(t *testing.T, to, _ connect) {
		a := &answer{body: end}
		c := to(t, a, nil)
		for _, id := range []string{"", ".", "..", "a/b", "a b", "a\nb", "a?b", "a%2fb", "a#b", "ä", `a\b`, "a<b", strings.Repeat("x", 257)} {
			if o := collect(t, c.Turn(t.Context(), turn(id, "x"))); o.err == nil || !errors.Is(o.err, copilot.ErrRejected) || o.events != nil {
				t.Errorf("id %q: %+v", id, o)
			}
		}
		for _, v := range []string{`"s"`, `[1]`, `null`, `{`, `{"a":}`, ` `} {
			if o := collect(t, c.Turn(t.Context(), copilot.Turn{ConversationID: "c", Value: []byte(v)})); o.err == nil || !errors.Is(o.err, copilot.ErrRejected) {
				t.Errorf("value %q: %+v", v, o)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if o := collect(t, c.Turn(ctx, turn("c", "x"))); o.err == nil || !errors.Is(o.err, copilot.ErrInterrupted) {
			t.Errorf("cancelled before: %+v", o)
		}
		late, cancel := context.WithTimeout(t.Context(), 0)
		defer cancel()
		if o := collect(t, c.Turn(late, turn("c", "x"))); o.err == nil || !errors.Is(o.err, copilot.ErrTimeout) {
			t.Errorf("too late before: %+v", o)
		}
		if a.calls != 0 {
			t.Errorf("%d requests, want none", a.calls)
		}
		long := strings.Repeat("x", 256)
		if o := collect(t, c.Turn(t.Context(), turn(long, "x"))); o.err != nil || o.id != long {
			t.Errorf("longest id: %+v", o)
		}
	})
}

func TestIteratedOnce(t *testing.T) {
	overBoth(t, func(t *testing.T, to, _ connect) {
		a := &answer{body: end}
		seq := to(t, a, nil).Turn(t.Context(), turn("c", "x"))
		if a.calls != 0 {
			t.Error("sent before the iteration")
		}
		first, second := collect(t, seq), collect(t, seq)
		if first.err != nil || second.err == nil || a.calls != 1 {
			t.Errorf("first %+v, second %+v, %d requests", first, second, a.calls)
		}
	})
}

func TestResponses(t *testing.T) {
	overBoth(t, func(t *testing.T, to, _ connect) {
		const greet = "event: activity\ndata: {\"type\":\"message\",\"text\":\"hi\",\"conversation\":{\"id\":\"from-activity\"}}\n\n"
		const delta = "event: activity\ndata: {\"type\":\"typing\",\"id\":\"s\",\"text\":\"h\",\"channelData\":{\"streamType\":\"streaming\",\"chunkType\":\"delta\",\"streamSequence\":1}}\n\n"
		id := map[string]string{"X-Ms-Conversationid": "c"}
		typed := func(s string) map[string]string {
			return map[string]string{"X-Ms-Conversationid": "c", "Content-Type": s}
		}
		tests := []struct {
			name   string
			a      *answer
			start  bool
			events []string
			id     string
			kind   error
		}{
			{name: "parameters", a: &answer{header: typed("Text/Event-Stream; charset=utf-8"), body: end}, events: []string{"conversation"}, id: "c"},
			{name: "id from an activity", a: &answer{body: delta + greet + end}, start: true, events: []string{"conversation", "delta h", "message hi (streamed)"}, id: "from-activity"},
			{name: "id from an activity is not the one sent", a: &answer{body: greet + end}, events: []string{"restarted", "message hi"}, id: "from-activity"},
			{name: "header wins", a: &answer{header: id, body: greet + end}, events: []string{"conversation", "message hi"}, id: "c"},
			{name: "id that nobody says", a: &answer{body: delta + end}, events: []string{"conversation", "delta h", "message h (streamed) (incomplete)"}, id: "c"},
			{name: "start without id", a: &answer{body: delta + end}, start: true, kind: copilot.ErrProtocol},
			{name: "unsafe id in an activity", a: &answer{body: strings.Replace(greet, "from-activity", "../x", 1) + end}, kind: copilot.ErrProtocol},
			{name: "long id", a: &answer{header: map[string]string{"X-Ms-Conversationid": strings.Repeat("x", 257)}, body: end}, kind: copilot.ErrProtocol},
			{name: "nothing after end", a: &answer{header: id, body: end + greet}, events: []string{"conversation"}, id: "c"},
			{name: "json", a: &answer{header: typed("application/json; charset=utf-8"), body: `{"activities":[{"type":"message","text":"hi"},7]}`}, events: []string{"conversation", "message hi"}, id: "c"},
			{name: "json start", a: &answer{header: map[string]string{"Content-Type": "application/json"}, body: `{"conversationId":"j","activities":[]}`}, start: true, events: []string{"conversation"}, id: "j"},
			{name: "json of something else", a: &answer{header: typed("application/json"), body: `{"message":"ok"}`}, events: []string{"conversation"}, id: "c", kind: copilot.ErrProtocol},
			{name: "json cut", a: &answer{header: typed("application/json"), body: `{"activities":[`}, events: []string{"conversation"}, id: "c", kind: copilot.ErrProtocol},
			{name: "json too large", a: &answer{header: typed("application/json"), body: `{"activities":["` + strings.Repeat("x", 5000) + `"]}`}, events: []string{"conversation"}, id: "c", kind: copilot.ErrProtocol},
			{name: "json all bad", a: &answer{header: typed("application/json"), body: `{"activities":[7]}`}, events: []string{"conversation"}, id: "c", kind: copilot.ErrProtocol},
			{name: "compressed", a: &answer{header: map[string]string{"X-Ms-Conversationid": "c", "Content-Encoding": "gzip"}, body: "x"}, events: []string{"conversation"}, id: "c", kind: copilot.ErrProtocol},
			{name: "empty", a: &answer{header: id}, events: []string{"conversation"}, id: "c", kind: copilot.ErrInterrupted},
			{name: "error body with codes", a: &answer{status: 403, header: typed("application/json"), body: `{"error":{"code":"A.b_1"}}`}, kind: copilot.ErrRejected},
			{name: "stream too long", a: &answer{header: id, body: strings.Repeat(":\n", 9000)}, events: []string{"conversation"}, id: "c", kind: copilot.ErrProtocol},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				c := to(t, tt.a, func(o *copilot.Options) { o.Limits = copilot.Limits{EventBytes: 4096, StreamBytes: 16384} })
				seq := c.Turn(t.Context(), turn("c", "x"))
				if tt.start {
					seq = c.Start(t.Context(), copilot.Start{})
				}
				got := collect(t, seq)
				if !slices.Equal(got.events, tt.events) || got.id != tt.id {
					t.Errorf("events = %q, id %q, want %q, %q", got.events, got.id, tt.events, tt.id)
				}
				if (got.err == nil) != (tt.kind == nil) || got.err != nil && !errors.Is(got.err, tt.kind) {
					t.Errorf("error = %+v, want %v", got.err, tt.kind)
				}
			})
		}
	})
}

func TestSkippedAreReported(t *testing.T) {
	overBoth(t, func(t *testing.T, to, _ connect) {
		var skipped atomic.Int64
		emu := emulator.New(emulator.Options{})
		c := to(t, emu, func(o *copilot.Options) { o.OnSkip = func(_ context.Context, n int) { skipped.Add(int64(n)) } })
		for _, say := range []string{"hello", "/garbage-one"} {
			collect(t, c.Turn(t.Context(), turn(open(t, c), say)))
		}
		if skipped.Load() != 1 {
			t.Errorf("%d skipped, want 1", skipped.Load())
		}
	})
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	overBoth(t, func(t *testing.T, to, _ connect) {
		elsewhere := &answer{body: end}
		other := httptest.NewServer(elsewhere)
		defer other.Close()
		for _, status := range []int{301, 302, 303, 307, 308} {
			a := &answer{status: status, header: map[string]string{"Location": other.URL + "/conversations"}}
			o := collect(t, to(t, a, nil).Turn(t.Context(), turn("c", "x")))
			if o.err == nil || !errors.Is(o.err, copilot.ErrProtocol) || o.err.Status != status || a.calls != 1 || elsewhere.calls != 0 {
				t.Errorf("%d: %+v, %d requests here, %d there", status, o.err, a.calls, elsewhere.calls)
			}
		}
	})
}

// benchAnswer is a turn whose text comes in pieces.
func benchAnswer() string {
	var b bytes.Buffer
	for i := range 100 {
		fmt.Fprintf(&b, "event: activity\ndata: {\"type\":\"typing\",\"id\":\"s-%d\",\"from\":{\"id\":\"bot\",\"role\":\"bot\"},\"text\":\" word\",\"entities\":[{\"type\":\"streaminfo\",\"streamId\":\"s\",\"streamType\":\"streaming\",\"streamSequence\":%d}],\"channelData\":{\"chunkType\":\"delta\"}}\n\n", i, i+1)
	}
	b.WriteString(end)
	return b.String()
}

// BenchmarkRelay is the whole client without the network: one turn of a hundred
// pieces.
func BenchmarkRelay(b *testing.B) {
	body := benchAnswer()
	c := client(b, "http://127.0.0.1:1", func(o *copilot.Options) { o.Transport = canned(body) })
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range c.Turn(b.Context(), turn("c", "x")) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

type canned string

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	_ = r.Body.Close()
	return &http.Response{
		StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(string(c))), Request: r,
		Header: http.Header{"Content-Type": {"text/event-stream"}, "X-Ms-Conversationid": {"c"}},
	}, nil
}
