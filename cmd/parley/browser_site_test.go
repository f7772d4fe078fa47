package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
	"parley/server/copilot/emulator"
)

// site is two instances of the program on one Redis, behind a balancer, and, in a test
// with a browser, a page that uses them.
type site struct {
	t         *testing.T
	agent     *heldAgent
	emulator  *emulator.Emulator
	instances [2]*instance
	balancer  *balancer
	page      *page
}

// instance is one process of the program.
type instance struct {
	base  string
	cmd   *exec.Cmd
	logs  *sharedBuffer
	redis *faultproxy.Proxy // between it and Redis
}

// newSite starts everything and opens the page.
func newSite(t *testing.T, b *browser, redis *redistest.Server) *site {
	t.Helper()
	s := newInstances(t, redis)
	s.page = b.open(t, s.balancer.url)
	return s
}

// newInstances starts everything but a page. When the test has failed it logs what the
// balancer and the instances did.
func newInstances(t *testing.T, redis *redistest.Server) *site {
	t.Helper()
	s := &site{t: t, emulator: emulator.New(emulator.Options{Token: "stub"})}
	s.agent = &heldAgent{agent: s.emulator}
	web := httptest.NewServer(s.agent)
	t.Cleanup(web.Close)
	t.Cleanup(s.agent.letGo)
	files, err := filepath.Abs("testdata/browser")
	if err != nil {
		t.Fatal(err)
	}
	settings := []string{
		"COPILOT_DIRECT_CONNECT_URL", web.URL + "/agent", "COPILOT_STUB_TOKEN", "stub",
		"STATIC_DIR", files,
	}
	for i := range s.instances {
		logs := &sharedBuffer{}
		way := faultproxy.Start(t, redis.Addr())
		base, cmd := processWith(t, logs, append(settings, "REDIS_URL", "redis://"+way.Addr())...)
		s.instances[i] = &instance{base: base, cmd: cmd, logs: logs, redis: way}
	}
	s.balancer = newBalancer(t, s.instances[0].base, s.instances[1].base)
	t.Cleanup(func() {
		if t.Failed() {
			s.report()
		}
	})
	return s
}

func (s *site) report() {
	s.t.Logf("the balancer passed on\n%s", s.balancer)
	for i, in := range s.instances {
		s.t.Logf("instance %d logged\n%s", i, in.logs)
	}
}

// recovered waits until all instances reach Redis again.
func (s *site) recovered() {
	s.t.Helper()
	for _, in := range s.instances {
		waitFor(s.t, func() bool { return call(s.t, in.base+"/api/chat/conversations", nil).Status == http.StatusOK })
	}
}

// kill ends an instance as a crash would.
func (s *site) kill(instance int) {
	cmd := s.instances[instance].cmd
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// asked is how often the agent was asked each thing.
func (s *site) asked() map[string]int {
	n := map[string]int{}
	for _, r := range s.emulator.Requests() {
		if r.Kind == emulator.KindTurn {
			n[r.Text]++
		}
	}
	return n
}

// saw wants the user to have seen exactly that after the greeting, each written as
// "role: text"; no error; and the same to be stored, as each of these instances tells.
// An answer is the same by its id.
func (s *site) saw(tellers []int, want ...string) {
	s.t.Helper()
	seen := s.page.messages()
	var got []string
	for _, m := range seen[min(1, len(seen)):] {
		got = append(got, m.Role+": "+m.Text)
	}
	if failure := s.page.failure(); failure != "" || !slices.Equal(got, want) {
		s.t.Errorf("the page shows %q and %q, want %q", got, failure, want)
	}
	c := &crowd{t: s.t}
	for _, i := range tellers {
		h := c.ask(s.instances[i].base, http.MethodGet, "/api/chat/conversations/"+s.page.conversation(), "", nil, false)
		var stored []message
		for _, m := range h.Message {
			stored = append(stored, message{m.ID, m.Role, m.Text})
		}
		if h.status != http.StatusOK || !slices.Equal(parts(stored), parts(seen)) {
			s.t.Errorf("instance %d has stored (%d) %q; seen were %q", i, h.status, parts(stored), parts(seen))
		}
	}
}

// parts are what the user said, in order, and then what the agent said: the page shows
// a second question before the answer to the first. The page has no ids for questions.
func parts(all []message) []string {
	var users, agents []string
	for _, m := range all {
		if m.Role == "user" {
			users = append(users, "user: "+m.Text)
		} else {
			agents = append(agents, fmt.Sprintf("%s: %s (%s)", m.Role, m.Text, m.ID))
		}
	}
	return append(users, agents...)
}

// answerOf is how the page shows the emulated agent's usual answer.
func answerOf(turn int, text string) string {
	return fmt.Sprintf("assistant: You said (turn %d): %s", turn, text)
}

// askedOnce wants the agent to have been asked each of these exactly once.
func (s *site) askedOnce(texts ...string) {
	s.t.Helper()
	asked := s.asked()
	for _, text := range texts {
		if asked[text] != 1 {
			s.t.Errorf("the agent was asked %q %d times", text, asked[text])
		}
	}
}
