package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"parley/contracttest/matrix"
	"parley/contracttest/redistest"
	"parley/server/auth"
)

// byName lets everybody in by the name that they give.
type byName struct{}

func (byName) Verify(_ context.Context, header string) (auth.Principal, error) {
	return auth.Principal{Tenant: "t", User: strings.TrimPrefix(header, "Bearer ")}, nil
}

// One user with 4,000 streams whose bodies never arrive takes nothing from another.
func TestBodiesThatNeverArriveOverHTTP2(t *testing.T) {
	_, settings := agent(t)
	base := startWith(t, seams{verifier: byName{}}, append(settings, "AUTH_REQUIRED", "true",
		"AUTH_ISSUER", "https://issuer.example", "AZURE_CLIENT_ID", "client")...)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	refused := make(chan struct{}, 4000)
	greedy := matrix.BodiesThatNeverArrive(ctx, base, "greedy", func() { refused <- struct{}{} })
	for range 2000 {
		<-refused
	}
	for range 20 {
		if a := callAs(t, "modest", base+"/api/chat/start", m{}); a.Status != 200 {
			t.Errorf("another user: %d %s", a.Status, a.Class)
		}
	}
	leave()
	greedy()
}

// A process that can open no more files says so, and blames neither the agent nor
// Redis.
func TestOutOfDescriptors(t *testing.T) {
	t.Run("memory", func(t *testing.T) { outOfDescriptors(t) })
	t.Run("redis", func(t *testing.T) { outOfDescriptors(t, "REDIS_URL", redistest.Start(t).URL()) })
}

func outOfDescriptors(t *testing.T, more ...string) {
	a, settings := newThinking(t)
	settings = append(settings, more...)
	var logs sharedBuffer
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", `ulimit -n 60; exec "$0"`, os.Args[0])
	cmd.Env = append(os.Environ(), asChild+"=1", "AUTH_REQUIRED=false", "HOST=127.0.0.1", "PORT=0")
	for i := 0; i < len(settings); i += 2 {
		cmd.Env = append(cmd.Env, settings[i]+"="+settings[i+1])
	}
	cmd.Stderr = &logs
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	base := address(t, stdout)
	c := overHTTP2(t, nil) // one connection for all
	var ids []string
	for range 80 {
		got := post(t, c, base+"/api/chat/start", "{}")
		id, _, _ := strings.Cut(got.text[strings.Index(got.text, ":\"")+2:], `"`)
		ids = append(ids, id)
	}
	answers := make(chan whole, len(ids))
	for _, id := range ids {
		go func() {
			answers <- post(t, c, base+"/api/chat/send", fmt.Sprintf(`{"conversationId":%q,"text":"hello"}`, id))
		}()
	}
	first := <-answers // all others wait for the agent, or will be told the same
	a.goOn()
	lacked := 0
	for i := range ids {
		got := first
		if i > 0 {
			got = <-answers
		}
		switch {
		case got.StatusCode == http.StatusTooManyRequests && strings.Contains(got.text, `"class":"overloaded"`) && got.Header.Get("Retry-After") != "":
			lacked++
		case got.StatusCode != http.StatusOK:
			t.Errorf("%d %s", got.StatusCode, got.text)
		}
	}
	if lacked == 0 {
		t.Error("there was no lack")
	}
	if !strings.Contains(logs.String(), "open files") {
		t.Errorf("the log does not say so: %s", logs.String())
	}
	if strings.Contains(logs.String(), `"circuit breaker"`) {
		t.Errorf("the breaker takes it for a failure of Redis: %s", logs.String())
	}
	if got := post(t, c, base+"/api/chat/start", "{}"); got.StatusCode != 200 {
		t.Errorf("afterwards: %d %s", got.StatusCode, got.text)
	}
}
