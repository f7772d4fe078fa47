package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// overHTTP2 makes a client that speaks HTTP/2 without TLS, as a proxy may.
func overHTTP2(t testing.TB, dial func(context.Context, string, string) (net.Conn, error)) *http.Client {
	t.Helper()
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	c := &http.Client{Transport: &http.Transport{Protocols: &protocols, DialContext: dial, DisableCompression: true}}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// whole is an answer that was read to its end.
type whole struct {
	*http.Response
	text string
	err  error
}

// post asks for a turn, with the headers given in pairs.
func post(t *testing.T, c *http.Client, url, body string, headers ...string) whole {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return whole{Response: &http.Response{}, err: err}
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.Do(r)
	if err != nil {
		return whole{Response: &http.Response{}, err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return whole{resp, string(text), err}
}

// Over HTTP/2 the service is what it is over HTTP/1.1: streams, their trailers,
// problem bodies, bounds.
func TestHTTP2(t *testing.T) {
	_, settings := agent(t)
	base := startService(t, io.Discard, settings...)
	c := overHTTP2(t, nil)
	c.Transport = checking(t, c.Transport)
	id := call(t, base+"/api/chat/start", m{}).ConversationID

	resp := post(t, c, base+"/api/chat/send", `{"conversationId":"`+id+`","text":"hello"}`, "Accept", "text/event-stream")
	if resp.err != nil || resp.ProtoMajor != 2 || resp.StatusCode != http.StatusOK || !strings.Contains(resp.text, "\nevent: done\n") {
		t.Errorf("%s %d, %v: %s", resp.Proto, resp.StatusCode, resp.err, resp.text)
	}
	if resp.Trailer.Get("Server-Timing") == "" {
		t.Errorf("trailer %v", resp.Trailer)
	}
	for _, bad := range []struct {
		body   string
		status int
	}{
		{`{"conversationId":"` + id + `","text":""}`, http.StatusBadRequest},
		{strings.Repeat(" ", 8<<20), http.StatusRequestEntityTooLarge},
	} {
		resp := post(t, c, base+"/api/chat/send", bad.body)
		if resp.StatusCode != bad.status || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%d %v", resp.StatusCode, resp.Header)
		}
	}
}

// A stream that is cut off has no proper end, so nobody takes the half for the whole.
func TestHTTP2Aborts(t *testing.T) {
	half := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	bubble(t, 1, half, func(t *testing.T, p *pipes, _ *connections) {
		c := overHTTP2(t, p.dialContext)
		defer c.CloseIdleConnections()
		if got := post(t, c, "http://x/", ""); got.err == nil {
			t.Errorf("%q passes for the whole", got.text)
		}
	})
}

func (p *pipes) dialContext(context.Context, string, string) (net.Conn, error) { return p.dial(), nil }

// preface is how a client begins, with its empty settings; begun is a request
// whose body is still to come.
const (
	preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	begun   = "\x00\x00\x0d\x01\x04\x00\x00\x00\x01" + "\x83\x86\x84\x41\x01x\x0f\x0d\x041000" // POST http://x/, Content-Length: 1000
)

// A client that takes its time is not waited for over HTTP/2 either.
func TestSlowHTTP2Clients(t *testing.T) {
	for name, c := range map[string]struct {
		sends string
		then  string // byte by byte
		limit time.Duration
	}{
		"half a preface":     {preface[:10], "", 10 * time.Second},
		"no settings":        {preface[:24], "", 10 * time.Second},
		"asks nothing":       {preface, "", 120 * time.Second},
		"half a head":        {preface + begun[:12], "", 120 * time.Second},
		"no body, and gone":  {preface + begun, "", 60 * time.Second},
		"endless unanswered": {preface, "\x00\x00\x00\x04\x01\x00\x00\x00\x00", 120 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			var handled, whole atomic.Bool
			readsAll := func(_ http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, r.Body)
				handled.Store(true)
				whole.Store(err == nil)
			}
			bubble(t, 1, readsAll, func(t *testing.T, p *pipes, conns *connections) {
				held(t, p, conns, c.sends, c.then, c.limit)
				if handled.Load() != strings.Contains(c.sends, begun) || whole.Load() {
					t.Errorf("handled %v, with a whole body %v", handled.Load(), whole.Load())
				}
			})
		})
	}
}

// A body that never ends is given up although its client is there, and no more of
// it is taken than is read.
func TestEndlessHTTP2Body(t *testing.T) {
	var read atomic.Value
	slowly := func(_ http.ResponseWriter, r *http.Request) {
		time.Sleep(10 * time.Second) // of the bubble: as long as it would wait for a signing key
		n, err := io.Copy(io.Discard, r.Body)
		read.Store(fmt.Sprintf("%d bytes, whole: %v", n, err == nil))
	}
	bubble(t, 1, slowly, func(t *testing.T, p *pipes, _ *connections) {
		c := overHTTP2(t, p.dialContext)
		defer c.CloseIdleConnections()
		body := &endless{end: t.Context()}
		body.left.Store(1 << 20)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://x/", body)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		go func() {
			<-time.After(5 * time.Second)
			if n := 1<<20 - body.left.Load(); n > 128<<10 {
				t.Errorf("%d bytes were taken that nobody read", n)
			}
		}()
		if resp, err := c.Do(r); err == nil {
			_ = resp.Body.Close()
		}
		if took := time.Since(began); took > 31*time.Second || read.Load() != "1048576 bytes, whole: false" {
			t.Errorf("after %v: %v", took, read.Load())
		}
	})
}

// endless is a body whose end never comes.
type endless struct {
	left atomic.Int64
	end  context.Context //nolint:containedctx // a body has no other
}

func (e *endless) Read(b []byte) (int, error) {
	left := e.left.Load()
	if left == 0 {
		<-e.end.Done()
		return 0, io.EOF
	}
	n := min(int64(len(b)), left)
	e.left.Add(-n)
	return int(n), nil
}

// A long silent stream outlives every one of those limits.
func TestLongHTTP2Stream(t *testing.T) {
	slow := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "a")
		_ = http.NewResponseController(w).Flush()
		time.Sleep(time.Hour) // of the bubble
		_, _ = io.WriteString(w, "b")
	}
	bubble(t, 1, slow, func(t *testing.T, p *pipes, _ *connections) {
		c := overHTTP2(t, p.dialContext)
		defer c.CloseIdleConnections()
		if got := post(t, c, "http://x/", ""); got.err != nil || got.text != "ab" {
			t.Errorf("%q, %v", got.text, got.err)
		}
	})
}

// A turn that runs at the end is answered over HTTP/2 as well, and a connection
// nobody uses holds nothing back.
func TestShutdownOverHTTP2(t *testing.T) {
	a, settings := newThinking(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, in := io.Pipe()
	ended := make(chan error, 1)
	settings = append(settings, "AUTH_REQUIRED", "false", "HOST", "127.0.0.1", "PORT", "0")
	go func() { ended <- run(ctx, nil, env(settings...), in, io.Discard) }()
	base := address(t, out)
	id := call(t, base+"/api/chat/start", m{}).ConversationID
	c, idle := overHTTP2(t, nil), overHTTP2(t, nil)
	post(t, idle, base+"/api/chat/start", "")
	answer := make(chan whole, 1)
	go func() {
		answer <- post(t, c, base+"/api/chat/send", `{"conversationId":"`+id+`","text":"hello"}`, "Accept", "text/event-stream")
	}()
	waitFor(t, func() bool { return a.turns() == 1 })
	stop()
	waitFor(t, func() bool { return call(t, base+"/readyz", nil).Status == 503 })
	a.goOn()
	if got := <-answer; !strings.Contains(got.text, "event: done\n") {
		t.Errorf("answered %q, %v", got.text, got.err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the service ended with %v", err)
	}
}
