package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/redistest"
	"parley/server/copilot/emulator"
)

// asChild makes the test binary be the program: a process that can be killed.
const asChild = "PARLEY_TEST_AS_CHILD"

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(asMutant) != "":
		mutantMain(os.Getenv(asMutant))
		return
	case os.Getenv(asPeer) != "":
		if err := peerMain(os.Getenv(asPeer)); err != nil {
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
	cmd = exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), asChild+"=1", "AUTH_REQUIRED=false", "HOST=127.0.0.1", "PORT=0")
	for i := 0; i < len(pairs); i += 2 {
		cmd.Env = append(cmd.Env, pairs[i]+"="+pairs[i+1])
	}
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

// STORE-02, STORE-04, ROUTE-04: with nothing but an emulated agent, the service
// runs on memory and says so.
func TestInMemory(t *testing.T) {
	var log bytes.Buffer
	t.Run("chat", func(t *testing.T) {
		base := startService(t, &log, "COPILOT_EMULATOR", "true")
		started := call(t, base+"/api/chat/start", m{})
		if started.Status != 200 || started.ConversationID == "" || len(started.Messages) != 1 {
			t.Fatalf("start: %+v", started)
		}
		sent := call(t, base+"/api/chat/send", m{"conversationId": started.ConversationID, "text": "hello"})
		if sent.Status != 200 || !strings.Contains(sent.said(), "hello") {
			t.Errorf("send: %+v", sent)
		}
		if h := call(t, base+"/health", nil); h.Status != 200 || h.Redis != "not_configured" || h.AuthRequired || len(h.Warnings) != 1 {
			t.Errorf("health: %+v", h)
		}
	})
	// The service has ended, so the log can be read.
	if !strings.Contains(log.String(), `"msg":"listening"`) || !strings.Contains(log.String(), `"store":"memory"`) {
		t.Errorf("the log does not name the store:\n%s", log.String())
	}
	if !strings.Contains(log.String(), "authentication is off") {
		t.Errorf("the log does not warn that everybody may come in:\n%s", log.String())
	}
	if strings.Contains(log.String(), "hello") {
		t.Errorf("the log repeats what was said:\n%s", log.String())
	}
}

// STORE-01, STORE-03, TEST-02: with REDIS_URL it is Redis, and what was said
// outlives the process that heard it.
func TestKilledAndStartedAgain(t *testing.T) {
	redis := redistest.Start(t).URL()
	e, settings := agent(t)
	settings = append(settings, "REDIS_URL", redis)

	base, kill := child(t, settings...)
	id := call(t, base+"/api/chat/start", m{}).ConversationID
	call(t, base+"/api/chat/send", m{"conversationId": id, "text": "one"})
	kill()

	base, _ = child(t, settings...)
	sent := call(t, base+"/api/chat/send", m{"conversationId": id, "text": "two"})
	if sent.Status != 200 || !strings.Contains(sent.said(), "two") {
		t.Fatalf("send after the restart: %+v", sent)
	}
	asked := e.Requests()
	if len(asked) != 3 || asked[2].Conversation != asked[1].Conversation || asked[2].Turn != 2 {
		t.Errorf("the agent was asked %+v", asked)
	}

	second, _ := child(t, settings...)
	if l := call(t, second+"/api/chat/conversations", nil); len(l.Conversations) != 1 || l.Conversations[0].ConversationID != id {
		t.Errorf("a second instance lists %+v", l)
	}
	c := call(t, second+"/api/chat/conversations/"+id, nil)
	if len(c.Messages) != 5 || c.Messages[1].Text != "one" || c.Messages[3].Text != "two" {
		t.Errorf("a second instance reads %+v", c.Messages)
	}
	if h := call(t, second+"/health", nil); h.Redis != "connected" {
		t.Errorf("health: %+v", h)
	}
}

// RESIL-01, RESIL-02: with Redis away the service starts, says so, answers 503,
// asks no agent, and never serves from memory.
func TestRedisAway(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	away := "redis://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	e, settings := agent(t)
	base := startService(t, io.Discard, append(settings, "REDIS_URL", away)...)
	id := uuid.NewString()
	for path, body := range map[string]any{
		"/api/chat/start":               m{},
		"/api/chat/send":                m{"conversationId": id, "text": "hello"},
		"/api/chat/card-action":         m{"conversationId": id, "cardId": "c", "userSummary": "s", "submitData": m{"action": "Action.Submit"}},
		"/api/chat/orchestrate":         m{"query": "hello"},
		"/api/chat/conversations":       nil,
		"/api/chat/conversations/" + id: nil,
	} {
		a := call(t, base+path, body)
		if a.Status != 503 || a.Class != "store_unreachable" || a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %+v", path, a)
		}
	}
	waitFor(t, func() bool { h := call(t, base+"/health", nil); return h.Status == 503 && h.Redis == "disconnected" })
	if n := len(e.Requests()); n != 0 {
		t.Errorf("the agent was asked %d times", n)
	}
}

// waitFor asks again and again, for a while.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	deadline, tick := time.After(10*time.Second), time.Tick(20*time.Millisecond)
	for !ok() {
		select {
		case <-tick:
		case <-deadline:
			t.Fatal("it did not come to that within 10 s")
		}
	}
}

// Whatever was said before, /send is two commands of Redis and one request to
// the agent.
func TestSendCosts(t *testing.T) {
	url := redistest.Start(t).URL()
	opt, err := goredis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	raw := goredis.NewClient(opt)
	t.Cleanup(func() { _ = raw.Close() })
	e, settings := agent(t)
	base := startService(t, io.Discard, append(settings, "REDIS_URL", url)...)
	id := call(t, base+"/api/chat/start", m{}).ConversationID
	send := func(text string) {
		if a := call(t, base+"/api/chat/send", m{"conversationId": id, "text": text}); a.Status != 200 {
			t.Fatalf("send: %+v", a)
		}
	}
	send("warm")
	for _, history := range []int{0, 200} {
		for i := range history {
			send(fmt.Sprint("message ", i))
		}
		if err := raw.ConfigResetStat(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		before := len(e.Requests())
		send("counted")
		calls := map[string]int{}
		for line := range strings.Lines(raw.Info(t.Context(), "commandstats").Val()) {
			if name, rest, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":"); ok {
				var n int
				if _, err := fmt.Sscanf(rest, "calls=%d", &n); err == nil {
					calls[name] = n
				}
			}
		}
		if calls["evalsha"] != 2 || calls["eval"]+calls["hgetall"]+calls["lrange"]+calls["get"]+calls["multi"] != 0 {
			t.Errorf("after %d turns, /send ran %v", history, calls)
		}
		if n := len(e.Requests()) - before; n != 1 {
			t.Errorf("after %d turns, /send asked the agent %d times", history, n)
		}
	}
}

// A port that is taken is an error that names the setting.
func TestPortTaken(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	err = run(t.Context(), nil, enough("HOST", "127.0.0.1", "PORT", port), io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "PORT") {
		t.Errorf("got %v", err)
	}
}

// Conversations that are used at the same time never mix: the emulated agent
// numbers the turns of each, and says what it heard.
func TestNeverMix(t *testing.T) {
	base := startService(t, io.Discard, "COPILOT_EMULATOR", "true")
	const conversations, turns = 20, 5
	var talking sync.WaitGroup
	for c := range conversations {
		talking.Go(func() {
			id := call(t, base+"/api/chat/start", m{}).ConversationID
			for n := 1; n <= turns; n++ {
				text := fmt.Sprintf("conversation %d", c)
				a := call(t, base+"/api/chat/send", m{"conversationId": id, "text": text})
				if want := fmt.Sprintf("You said (turn %d): %s", n, text); a.said() != want {
					t.Errorf("said %q, want %q", a.said(), want)
				}
			}
		})
	}
	talking.Wait()
}
