package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"parley/server/copilot/emulator"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(asMutant) != "":
		if err := mutantMain(os.Getenv(asMutant), os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	case os.Getenv(asReplica) != "":
		replicaMain(os.Getenv(asReplica))
		return
	case os.Getenv(asPeer) != "":
		if err := peerMain(os.Getenv(asPeer)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	case os.Getenv(asUnbounded) != "":
		if err := unboundedMain(os.Getenv(asUnbounded)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	case os.Getenv(asChild) != "":
		main()
		return
	}
	if os.Getenv(asSink) != "" {
		sink()
		return
	}
	os.Exit(m.Run())
}

// listening finds the address in what the program prints.
var listening = regexp.MustCompile(`listening on (https?://\S+)`)

// address waits for it; a program that ends without one fails the test.
func address(t testing.TB, stdout io.Reader) string {
	t.Helper()
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if m := listening.FindStringSubmatch(lines.Text()); m != nil {
			go func() { _, _ = io.Copy(io.Discard, stdout) }() // ends with the program
			return m[1]
		}
	}
	t.Fatal("the program ended without listening")
	return ""
}

// startService runs the program in this process until the test ends, and checks
// that it ends cleanly.
func startService(t testing.TB, stderr io.Writer, pairs ...string) (base string) {
	t.Helper()
	return started(t, func(ctx context.Context, stdout io.Writer) error {
		return run(ctx, nil, env(settingsOf(pairs)...), stdout, stderr)
	})
}

// startWith is startService with something put into the service.
func startWith(t testing.TB, with seams, pairs ...string) (base string) {
	t.Helper()
	c, err := load(env(settingsOf(pairs)...))
	if err != nil {
		t.Fatal(err)
	}
	return started(t, func(ctx context.Context, stdout io.Writer) error {
		return serve(ctx, c, with, stdout, io.Discard)
	})
}

// settingsOf lets everybody in and takes any port of loopback, unless told otherwise.
func settingsOf(pairs []string) []string {
	return append([]string{"AUTH_REQUIRED", "false", "HOST", "127.0.0.1", "PORT", "0"}, pairs...)
}

// started runs something that prints where it listens, until the test ends.
func started(t testing.TB, program func(ctx context.Context, stdout io.Writer) error) (base string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	out, in := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- program(ctx, in)
		_ = in.CloseWithError(io.EOF)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("the service ended with %v", err)
		}
	})
	return address(t, out)
}

// child runs the program as a process of its own. kill ends it at once, as a
// crash would.
func child(t *testing.T, pairs ...string) (base string, kill func()) {
	t.Helper()
	base, cmd := process(t, pairs...)
	return base, func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// process is a child to which signals can be sent; it ends with the test.
func process(t *testing.T, pairs ...string) (base string, cmd *exec.Cmd) {
	t.Helper()
	return processWith(t, nil, pairs...)
}

// childCommand is the command that runs the program.
func childCommand(t testing.TB, pairs ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), asChild+"=1", "AUTH_REQUIRED=false", "HOST=127.0.0.1", "PORT=0")
	for i := 0; i < len(pairs); i += 2 {
		cmd.Env = append(cmd.Env, pairs[i]+"="+pairs[i+1])
	}
	return cmd
}

// processWith is a process that logs to stderr, unless that is nil.
func processWith(t testing.TB, stderr io.Writer, pairs ...string) (base string, cmd *exec.Cmd) {
	t.Helper()
	cmd = childCommand(t, pairs...)
	cmd.Stderr = stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return address(t, stdout), cmd
}

// agent serves an emulated agent and gives the settings that lead to it.
func agent(t *testing.T) (*emulator.Emulator, []string) {
	t.Helper()
	e := emulator.New(emulator.Options{Token: "stub"})
	web := httptest.NewServer(e)
	t.Cleanup(web.Close)
	return e, []string{"COPILOT_DIRECT_CONNECT_URL", web.URL + "/agent", "COPILOT_STUB_TOKEN", "stub"}
}

// answer is what every route may answer.
type answer struct {
	Status         int `json:"-"`
	Header         http.Header
	ConversationID string
	Messages       []struct{ Role, Text string }
	Conversations  []struct{ ConversationID string }
	Class, Redis   string
	AuthRequired   bool
	Warnings       []string
	Store          struct { // of /health
		LastError     string
		Breaker       string
		LatencyMs     *float64
		Shards, Slots struct{ Up, Served, Total int }
	}
}

func (a answer) said() string {
	var texts []string
	for _, m := range a.Messages {
		texts = append(texts, m.Text)
	}
	return strings.Join(texts, "|")
}

// call asks the service; a body makes it a POST. It may be used from any
// goroutine of a test, so it ends none.
func call(t *testing.T, url string, body any) answer {
	t.Helper()
	return callAs(t, "", url, body)
}

// callAs asks with a token.
func callAs(t *testing.T, token, url string, body any) answer {
	t.Helper()
	method, reader := http.MethodGet, io.Reader(nil)
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			t.Error(err)
			return answer{}
		}
		method, reader = http.MethodPost, bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, reader)
	if err != nil {
		t.Error(err)
		return answer{}
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := checked(t).Do(req)
	if err != nil {
		t.Error(err)
		return answer{}
	}
	defer func() { _ = resp.Body.Close() }()
	var a answer
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		t.Errorf("%s: %v", url, err)
	}
	a.Status, a.Header = resp.StatusCode, resp.Header
	return a
}

type m map[string]any
