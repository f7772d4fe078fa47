package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/contracttest/faultproxy"
	"parley/contracttest/ports"
	"parley/contracttest/redistest"
)

// asChild makes the test binary be the program: a process that can be killed.
const asChild = "PARLEY_TEST_AS_CHILD"

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
	away := "redis://" + ports.Of(t).Addr
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
	proxy := faultproxy.Start(t, redistest.Start(t).Addr())
	e, settings := agent(t)
	base := startService(t, io.Discard, append(settings, "REDIS_URL", "redis://"+proxy.Addr())...)
	id := call(t, base+"/api/chat/start", m{}).ConversationID
	send := func(text string) {
		if a := call(t, base+"/api/chat/send", m{"conversationId": id, "text": text}); a.Status != 200 {
			t.Fatalf("send: %+v", a)
		}
	}
	// The probe of health reads a field that nobody writes, now and then.
	sent := func(c faultproxy.Command) bool {
		return faultproxy.Data(c) && (c.Name != "HGET" || c.Args[len(c.Args)-1] != "none")
	}
	send("warm")
	for _, history := range []int{0, 200} {
		for i := range history {
			send(fmt.Sprint("message ", i))
		}
		before := len(e.Requests())
		proxy.Reset()
		send("counted")
		if all, scripts := proxy.Came(sent), proxy.Came(faultproxy.Scripts()); all != 2 || scripts != 2 {
			t.Errorf("after %d turns, /send sent %d commands, %d of them scripts", history, all, scripts)
		}
		if n := len(e.Requests()) - before; n != 1 {
			t.Errorf("after %d turns, /send asked the agent %d times", history, n)
		}
	}
}

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
