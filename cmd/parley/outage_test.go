package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
	"parley/server/copilot/emulator"
)

// Redis is away for 5 s between the agent's answer and its being stored: the
// client gets 503, the same request later the stored answer, and the agent was
// asked once.
func TestOutageAtTheCommit(t *testing.T) {
	p := faultproxy.Start(t, redistest.Start(t).Addr())
	e, settings := agent(t)
	base := startService(t, io.Discard, append(settings, "REDIS_URL", "redis://"+p.Addr(), "REDIS_TIMEOUT", "800")...)
	id := call(t, base+"/api/chat/start", m{}).ConversationID
	c := &crowd{t: t}
	body := m{"conversationId": id, "text": "hello\n/slow 300ms"}
	first := make(chan heard)
	go func() { first <- c.ask(base, http.MethodPost, "/api/chat/send", "k", body, false) }()
	waitFor(t, func() bool { return len(e.Requests()) == 2 })
	p.Set(faultproxy.Refuse())
	over := time.After(5 * time.Second)
	if h := <-first; h.status != 503 || !strings.HasPrefix(h.Class, "store_") {
		t.Errorf("at the commit: %+v", h)
	}
	if h := c.ask(base, http.MethodPost, "/api/chat/send", "k", body, false); h.status != 503 {
		t.Errorf("while it is away: %+v", h)
	}
	<-over
	p.Heal()
	var h heard
	waitFor(t, func() bool {
		h = c.ask(base, http.MethodPost, "/api/chat/send", "k", body, false)
		return h.status != 503
	})
	if h.status != 200 || len(h.Message) != 1 || h.Message[0].Turn != 1 {
		t.Errorf("after it: %+v", h)
	}
	turns := 0
	for _, r := range e.Requests() {
		if r.Kind == emulator.KindTurn {
			turns++
		}
	}
	if said := call(t, base+"/api/chat/conversations/"+id, nil); turns != 1 || len(said.Messages) != 3 {
		t.Errorf("the agent was asked %d times; stored %+v", turns, said.Messages)
	}
}
