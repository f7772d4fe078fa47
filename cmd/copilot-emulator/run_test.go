package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

func noEnv(string) string { return "" }

// serve runs the command and gives the URL that it prints.
func serve(t *testing.T, getenv func(string) string, args ...string) (url string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	out, in := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, args, getenv, in, io.Discard)
		_ = in.CloseWithError(io.EOF)
		done <- err
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("nothing printed: %v, %v", err, <-done)
	}
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "COPILOT_DIRECT_CONNECT_URL=")
	if !ok {
		t.Fatalf("printed %q", line)
	}
	return url, func() error { cancel(); return <-done }
}

// reply is a response whose body the test's end closes.
type reply struct {
	status int
	header http.Header
	body   io.Reader
}

func post(t *testing.T, url, token, body string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return reply{resp.StatusCode, resp.Header, resp.Body}
}

func TestRunServesAndStops(t *testing.T) {
	url, stop := serve(t, noEnv, "-listen", "127.0.0.1:0", "-token", "secret")
	if got := post(t, url, "wrong", "{}").status; got != http.StatusUnauthorized {
		t.Errorf("status with the wrong token = %d, want 401", got)
	}
	resp := post(t, url, "secret", "{}")
	if resp.status != http.StatusOK || resp.header.Get("X-Ms-Conversationid") == "" {
		t.Errorf("start = %d, %v", resp.status, resp.header)
	}
	if err := stop(); err != nil {
		t.Errorf("run = %v", err)
	}
}

func TestRunTakesTheEnvironment(t *testing.T) {
	env := map[string]string{envListen: "127.0.0.1:0", envToken: "secret"}
	url, stop := serve(t, func(k string) string { return env[k] })
	if got := post(t, url, "", "{}").status; got != http.StatusUnauthorized {
		t.Errorf("status without a token = %d, want 401", got)
	}
	if err := stop(); err != nil {
		t.Errorf("run = %v", err)
	}
}

func TestRunEndsEndlessAnswers(t *testing.T) {
	url, stop := serve(t, noEnv, "-listen", "127.0.0.1:0")
	resp := post(t, url, "", `{"conversationId":"0a000000-0000-4000-8000-000000000000","activity":{"type":"message","text":"/silent"}}`)
	if resp.status != http.StatusOK {
		t.Fatalf("status = %d", resp.status)
	}
	if err := stop(); err != nil {
		t.Errorf("run = %v", err)
	}
	_, _ = io.Copy(io.Discard, resp.body) // ends
}

func TestRunRefuses(t *testing.T) {
	for _, args := range [][]string{{"-listen", "nowhere:x"}, {"-no-such-flag"}, {"extra"}} {
		if err := run(t.Context(), args, noEnv, io.Discard, io.Discard); err == nil {
			t.Errorf("run(%q) = nil, want an error", args)
		}
	}
	if err := run(t.Context(), []string{"-h"}, noEnv, io.Discard, io.Discard); err != nil {
		t.Errorf("run(-h) = %v", err)
	}
}
