package main

import (
	"sync"
	"testing"
	"time"

	"parley/contracttest/redistest"
)

// A process that stands still for longer than a call of Redis may take goes on as if
// nothing was: Redis had answered, and is blamed for nothing.
func TestStoppedProcess(t *testing.T) {
	slow(t)
	_, settings := agent(t)
	base, cmd := processWith(t, nil, append(settings, "AUTH_REQUIRED", "false", "REDIS_URL", redistest.Start(t).URL(), "REDIS_TIMEOUT", "500")...)
	const users = 24
	var mu sync.Mutex
	got := map[string]int{}
	answered := 0
	count := func(what string, a answer) {
		mu.Lock()
		defer mu.Unlock()
		got[what+" "+a.Class]++
		answered++
		if a.Status != 200 && a.Class != "overloaded" {
			t.Errorf("%s: %d %s", what, a.Status, a.Class)
		}
	}
	done := make(chan struct{})
	var calling sync.WaitGroup
	for range users {
		calling.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				a := call(t, base+"/api/chat/start", m{})
				count("start", a)
				if a.Status == 200 {
					count("send", call(t, base+"/api/chat/send", m{"conversationId": a.ConversationID, "text": "hello"}))
					count("read", call(t, base+"/api/chat/conversations/"+a.ConversationID, nil))
				}
				count("ready", call(t, base+"/readyz", nil))
			}
		})
	}
	for range 3 {
		reached := func(n int) bool {
			mu.Lock()
			defer mu.Unlock()
			return answered >= n
		}
		mu.Lock()
		next := answered + 5*users
		mu.Unlock()
		for tick := time.Tick(5 * time.Millisecond); !reached(next); <-tick {
		}
		if err := cmd.Process.Signal(sigHalt); err != nil {
			t.Fatal(err)
		}
		<-time.After(1200 * time.Millisecond) // twice as long as a call may take
		if err := cmd.Process.Signal(sigResume); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	calling.Wait()
	t.Log(got)
}
