package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tmaxmax/go-sse"

	"parley/contracttest/apispec"
	"parley/contracttest/redistest"
)

// reader follows the turn of a conversation at an instance.
func reader(ctx context.Context, t *testing.T, base, id, last string) (events chan sse.Event) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/api/chat/conversations/"+id+"/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Last-Event-ID", last)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("the stream is answered with %d", resp.StatusCode)
	}
	events = make(chan sse.Event)
	go func() {
		defer close(events)
		for e, err := range apispec.Events(resp.Body) {
			if err != nil {
				return
			}
			select {
			case events <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	return events
}

// next waits for an event.
func next(t *testing.T, events chan sse.Event) sse.Event {
	t.Helper()
	select {
	case e, ok := <-events:
		if !ok {
			t.Fatal("the stream has ended")
		}
		return e
	case <-time.After(30 * time.Second):
		t.Fatal("no event comes")
	}
	return sse.Event{}
}

// running begins a turn that says something again and again, and waits until another
// instance can follow it.
func running(t *testing.T, at string) (id string) {
	t.Helper()
	id = call(t, at+"/api/chat/start", m{}).ConversationID
	go func() { // its client is reset when the instance dies
		body := `{"conversationId":"` + id + `","text":"/endless 200ms"}`
		req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodPost, at+"/api/chat/send", strings.NewReader(body))
		if err != nil {
			return
		}
		req.Header.Set("Content-Type", "application/json")
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}()
	waitFor(t, func() bool {
		resp, err := http.Get(at + "/api/chat/conversations/" + id) //nolint:noctx // a test's own
		if err != nil {
			return false
		}
		defer func() { _ = resp.Body.Close() }()
		var c struct{ PendingTurn int }
		return json.NewDecoder(resp.Body).Decode(&c) == nil && c.PendingTurn == 1
	})
	return id
}

// Two processes on one Redis: a stream goes on at the other after its reader has left,
// without a message missing or doubled; a stop at the other ends the turn; and when
// the instance of a turn is killed, its readers are told.
func TestStreamsOfAnotherProcess(t *testing.T) {
	_, settings := agent(t)
	settings = append(settings, "REDIS_URL", redistest.Start(t).URL())
	first, kill := child(t, settings...)
	second, _ := child(t, settings...)

	id := running(t, first)
	seen := map[string]bool{}
	see := func(e sse.Event) {
		t.Helper()
		var m struct{ ID string }
		if err := json.Unmarshal([]byte(e.Data), &m); err != nil || e.Type != "message" || seen[m.ID] {
			t.Fatalf("it came twice, or is no message: %+v", e)
		}
		seen[m.ID] = true
	}
	last := ""
	for _, at := range []string{second, first, second} {
		ctx, leave := context.WithCancel(t.Context())
		events := reader(ctx, t, at, id, last)
		for range 3 {
			e := next(t, events)
			see(e)
			last = e.LastEventID
		}
		leave()
	}
	events := reader(t.Context(), t, second, id, last)
	if stopped := call(t, second+"/api/chat/conversations/"+id+"/stop", m{}); stopped.Status != http.StatusOK {
		t.Fatalf("stop: %+v", stopped)
	}
	e := next(t, events)
	for ; e.Type == "message"; e = next(t, events) {
		see(e)
	}
	if e.Type != "done" || !strings.Contains(e.Data, `"stopped":true`) {
		t.Errorf("the turn ends with %+v", e)
	}
	if c := call(t, second+"/api/chat/conversations/"+id, nil); len(c.Messages) != 2+len(seen) {
		t.Errorf("%d messages are stored, %d were read", len(c.Messages)-2, len(seen))
	}

	id = running(t, first)
	events = reader(t.Context(), t, second, id, "")
	next(t, events)
	kill()
	killed := time.Now()
	for e = next(t, events); e.Type == "message"; {
		e = next(t, events)
	}
	if e.Type != "error" || !strings.Contains(e.Data, `"instance_lost"`) {
		t.Errorf("the reader is told %+v", e)
	}
	t.Logf("told %v after the kill", time.Since(killed))
}
