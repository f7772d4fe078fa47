package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"parley/contracttest/redistest"
	"parley/server/copilot/emulator"
)

// A turn that is cut off at the end of SHUTDOWN_TIMEOUT is answered as such, and
// the service ends cleanly.
func TestShutdownAnswers(t *testing.T) {
	e, settings := agent(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, in := io.Pipe()
	ended := make(chan error, 1)
	settings = append(settings, "AUTH_REQUIRED", "false", "HOST", "127.0.0.1", "PORT", "0", "SHUTDOWN_TIMEOUT", "0")
	go func() { ended <- run(ctx, nil, env(settings...), in, io.Discard) }()
	base := address(t, out)
	// One that never asks anything must not hold the end back.
	idle, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = idle.Close() }()

	const talking = 20
	answers := make(chan answer, talking)
	for range talking {
		go func() {
			id := call(t, base+"/api/chat/start", m{}).ConversationID
			answers <- call(t, base+"/api/chat/send", m{"conversationId": id, "text": "/silent"})
		}()
	}
	waitFor(t, func() bool { return len(e.Requests()) == 2*talking })
	stop()
	for range talking {
		if a := <-answers; a.Status != 503 || a.Class != "shutting_down" {
			t.Errorf("got %+v", a)
		}
	}
	if err := <-ended; err != nil {
		t.Errorf("the service ended with %v", err)
	}
}

// thinking is an emulated agent whose turns wait, after they have come, until they
// are let go.
type thinking struct {
	agent http.Handler
	wait  chan struct{}
	goOn  func() // lets all of them go

	mu   sync.Mutex
	came int
}

// ofTurn is the path of a turn: it ends with the conversation.
var ofTurn = regexp.MustCompile(`/conversations/[^/]+$`)

func (a *thinking) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if ofTurn.MatchString(r.URL.Path) {
		a.mu.Lock()
		a.came++
		a.mu.Unlock()
		<-a.wait
	}
	a.agent.ServeHTTP(w, r)
}

func (a *thinking) turns() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.came
}

// newThinking serves one and gives the settings that lead to it.
func newThinking(t *testing.T) (*thinking, []string) {
	t.Helper()
	a := &thinking{agent: emulator.New(emulator.Options{Token: "stub"}), wait: make(chan struct{})}
	a.goOn = sync.OnceFunc(func() { close(a.wait) })
	web := httptest.NewServer(a)
	t.Cleanup(web.Close)
	t.Cleanup(a.goOn)
	return a, []string{"COPILOT_DIRECT_CONNECT_URL", web.URL + "/agent", "COPILOT_STUB_TOKEN", "stub"}
}

// SIGTERM in the middle of fifty turns: no new one begins, all fifty are answered
// and stored, and the process ends well.
func TestTerminated(t *testing.T) {
	const talking = 50
	a, settings := newThinking(t)
	settings = append(settings, "REDIS_URL", redistest.Start(t).URL())
	base, cmd := process(t, settings...)

	var ids [talking]string
	var answers [talking]answer
	var talk sync.WaitGroup
	for i := range talking {
		ids[i] = call(t, base+"/api/chat/start", m{}).ConversationID
		talk.Go(func() {
			answers[i] = call(t, base+"/api/chat/send", m{"conversationId": ids[i], "text": fmt.Sprint("message ", i)})
		})
	}
	waitFor(t, func() bool { return a.turns() == talking })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return call(t, base+"/readyz", nil).Status == 503 })
	waitFor(t, func() bool {
		late := call(t, base+"/api/chat/start", m{})
		return late.Status == 503 && late.Class == "shutting_down" && late.Header.Get("Retry-After") != ""
	})
	a.goOn()
	talk.Wait()
	if err := cmd.Wait(); err != nil {
		t.Errorf("the process ended with %v", err)
	}
	again, _ := child(t, settings...)
	for i, got := range answers {
		if got.Status != 200 || !strings.Contains(got.said(), fmt.Sprint("message ", i)) {
			t.Errorf("turn %d: %+v", i, got)
		}
		c := call(t, again+"/api/chat/conversations/"+ids[i], nil)
		if len(c.Messages) != 3 || !strings.Contains(c.Messages[2].Text, fmt.Sprint("message ", i)) {
			t.Errorf("turn %d is stored as %+v", i, c.Messages)
		}
	}
}

// A second signal is not asked twice.
func TestSecondSignal(t *testing.T) {
	a, settings := newThinking(t)
	base, cmd := process(t, settings...)
	id := call(t, base+"/api/chat/start", m{}).ConversationID
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		resp, err := http.Post(base+"/api/chat/send", "application/json", strings.NewReader(fmt.Sprintf(`{"conversationId":%q,"text":"x"}`, id))) //nolint:noctx // it ends with the process
		if err == nil {
			_ = resp.Body.Close()
		}
	}()
	waitFor(t, func() bool { return a.turns() == 1 })
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	// The turn that runs keeps it from ending at the first.
	waitFor(t, func() bool { return call(t, base+"/readyz", nil).Status == 503 })
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if err == nil || !status.Signaled() || status.Signal() != syscall.SIGINT {
		t.Errorf("the process ended with %v", err)
	}
	<-asked
}
