package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"parley/contracttest/apirules"
	"parley/contracttest/redistest"
	"parley/contracttest/runner"
)

// apiMutant is this program, broken in one way: by a setting that it has whatever it
// is told, or by somebody in front of it who changes what is asked or answered.
type apiMutant struct {
	wrong    string
	rules    []string // that must find it; a prefix with a star stands for all that begin so
	settings []string // in pairs
	request  func(*http.Request)
	answer   alteration
	silent   bool // what it prints is lost
}

// alteration changes an answer on its way.
type alteration func(*http.Response) error

// renamed is a change of a text in answers that are JSON.
func renamed(from, to string) alteration {
	return func(resp *http.Response) error {
		if !strings.Contains(resp.Header.Get("Content-Type"), "json") {
			return nil
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		body = bytes.ReplaceAll(body, []byte(from), []byte(to))
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
		return nil
	}
}

// instead is another status where there would be this one.
func instead(status, other int) alteration {
	return func(resp *http.Response) error {
		if resp.StatusCode == status {
			resp.StatusCode = other
		}
		return nil
	}
}

// apiMutants are one for each rule at the least.
func apiMutants() []apiMutant {
	var said, running atomic.Int64
	turn := make(chan struct{}, 1)
	return []apiMutant{
		{wrong: "calls the messages something else", answer: renamed(`"messages"`, `"massages"`), rules: []string{
			"shape.start*", "shape.send", "shape.card-action", "shape.orchestrate", "shape.read", "stream.stored", "restart.kept", "instances.shared", "repeat.failed", "repeat.adopted",
		}},
		{wrong: "lists what was listed under another name", answer: renamed(`"conversations"`, `"conversation"`), rules: []string{"shape.list", "owner.list"}},
		{wrong: "does not close", answer: renamed(`"completed"`, `"active"`), rules: []string{"shape.change"}},
		{wrong: "says 200 for what it deleted", answer: instead(http.StatusNoContent, http.StatusOK), rules: []string{"shape.delete", "stream.follow-none"}},
		{wrong: "does not tell how it is", rules: []string{"shape.health", "shape.live", "shape.ready", "shape.specification"}, answer: func(resp *http.Response) error {
			if !strings.HasPrefix(resp.Request.URL.Path, "/api/") && resp.Request.URL.Path != "/" {
				resp.StatusCode = http.StatusServiceUnavailable
			}
			return nil
		}},
		{wrong: "takes an error in words for an answer", answer: renamed(`"agentError"`, `"note"`), rules: []string{"shape.agent-error"}},
		{wrong: "leads from an error in words nowhere", answer: renamed(`"agentError":"SystemError","traceId"`, `"agentError":"SystemError","note"`), rules: []string{"shape.agent-error"}},
		{wrong: "takes a caller's mistake for its own", rules: []string{
			"refused.*", "conflict.second", "conflict.closed", "repeat.other", "stream.refused", "ttl.expires", "instances.conflict", "signal.*-caller",
			"owner.read", "owner.send", "owner.card-action", "owner.change", "owner.delete", "owner.stop", "owner.follow", "owner.no-token", "owner.foreign-key", "owner.expired", "owner.audience", "owner.tenant",
		}, answer: func(resp *http.Response) error {
			if resp.StatusCode/100 == 4 {
				resp.StatusCode = http.StatusInternalServerError
			}
			return nil
		}},
		{wrong: "tells a stranger what is there", answer: instead(http.StatusNotFound, http.StatusForbidden), rules: []string{"owner.read", "owner.send", "owner.delete"}},
		{wrong: "ignores keys", request: func(r *http.Request) { r.Header.Del("Idempotency-Key") }, rules: []string{"repeat.same", "repeat.start", "repeat.other", "instances.repeat", "restart.kept"}},
		{wrong: "hears something else each time", request: func(r *http.Request) {
			edit(r, func(body map[string]any) { body["text"] = fmt.Sprint(body["text"], said.Add(1)) })
		}, rules: []string{
			"repeat.failed", "repeat.adopted", "repeat.joins", "instances.joins", "restart.turn",
		}},
		{wrong: "does not stream", request: func(r *http.Request) { r.Header.Del("Accept") }, rules: []string{"stream.start", "stream.send", "stream.error", "stream.stored", "stream.follow", "stream.stop"}},
		{wrong: "has readers begin anew", request: func(r *http.Request) { r.Header.Del("Last-Event-ID") }, rules: []string{"stream.resume", "instances.resume"}},
		{wrong: "does not wait for a turn", settings: []string{"TURN_WAIT", "0"}, rules: []string{"conflict.waits", "instances.waits"}},
		{wrong: "says nothing of a new beginning", answer: renamed(`"conversationRestarted"`, `"note"`), rules: []string{"life.goes-on"}},
		{wrong: "runs one turn at a time", rules: []string{"conflict.others"}, request: func(r *http.Request) {
			if r.Method == http.MethodPost && running.Add(1) > 1 {
				r.URL.Path = "/busy"
			}
		}, answer: func(resp *http.Response) error {
			if resp.Request.Method == http.MethodPost {
				running.Add(-1)
			}
			return nil
		}},
		{wrong: "queues all turns", rules: []string{"conflict.others"}, request: func(r *http.Request) {
			if r.Method == http.MethodPost {
				select {
				case turn <- struct{}{}:
				case <-r.Context().Done():
				}
			}
		}, answer: func(resp *http.Response) error {
			if resp.Request.Method == http.MethodPost {
				<-turn
			}
			return nil
		}},
		{wrong: "keeps for a day", settings: []string{"REDIS_TTL", "86400"}, rules: []string{"ttl.every-key", "ttl.expires"}},
		{wrong: "keeps for a minute", settings: []string{"REDIS_TTL", "60"}, rules: []string{"ttl.renewed"}},
		{wrong: "has a prefix of its own", settings: []string{"REDIS_PREFIX", "own:"}, rules: []string{"keys.prefix", "ttl.every-key"}},
		{wrong: "keeps all in memory", settings: []string{"REDIS_URL", ""}, rules: []string{"restart.*", "instances.*", "ttl.every-key", "keys.prefix", "signal.span-store"}},
		{wrong: "exports no spans", settings: []string{"OTEL_TRACES_EXPORTER", "none"}, rules: []string{"signal.span-*"}},
		{wrong: "exports no metrics", settings: []string{"OTEL_METRICS_EXPORTER", "none"}, rules: []string{"signal.metric-*"}},
		{wrong: "prints nothing", silent: true, rules: []string{"signal.log-*"}},
	}
}

// edit changes the JSON body of a request that sends a message.
func edit(r *http.Request, change func(body map[string]any)) {
	if r.Method != http.MethodPost || r.URL.Path != "/api/chat/send" {
		return
	}
	var body map[string]any
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return
	}
	change(body)
	text, err := json.Marshal(body)
	if err != nil {
		return
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
}

// inFront starts the mutant.
func (m apiMutant) inFront(s apirules.Subject) func(tb testing.TB, w apirules.Wiring) apirules.Instance {
	return func(tb testing.TB, w apirules.Wiring) apirules.Instance {
		tb.Helper()
		i := s.Start(tb, w)
		if m.silent {
			i.Log = func() string { return "" }
		}
		if m.request == nil && m.answer == nil {
			return i
		}
		target, err := url.Parse(i.Base)
		if err != nil {
			tb.Fatal(err)
		}
		web := httptest.NewServer(&httputil.ReverseProxy{FlushInterval: -1, ModifyResponse: m.answer, Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			if m.request != nil {
				m.request(r.Out)
			}
		}})
		tb.Cleanup(web.Close)
		i.Base = web.URL
		return i
	}
}

// selects reports whether the pattern of a mutant is about a rule.
func selects(pattern, id string) bool {
	before, after, star := strings.Cut(pattern, "*")
	return pattern == id || star && len(id) >= len(before)+len(after) && strings.HasPrefix(id, before) && strings.HasSuffix(id, after)
}

// Every rule of the API finds a mutant.
func TestRulesMutants(t *testing.T) {
	named := map[string]bool{}
	for _, m := range apiMutants() {
		for _, pattern := range m.rules {
			found := false
			for _, r := range apirules.Rules() {
				if selects(pattern, r.ID) {
					named[r.ID], found = true, true
				}
			}
			if !found {
				t.Errorf("%q names %s, which is no rule", m.wrong, pattern)
			}
		}
	}
	for _, r := range apirules.Rules() {
		if !named[r.ID] {
			t.Errorf("no mutant is found by %s", r)
		}
	}
	slow(t)
	redis := redistest.Start(t)
	for _, m := range apiMutants() {
		t.Run(strings.ReplaceAll(m.wrong, " ", "-"), func(t *testing.T) {
			t.Parallel()
			s := subject(t, redis, m.settings...)
			s.Start = m.inFront(s)
			s.Document = nil // or it would find most of them, whatever the rule
			for _, r := range apirules.Rules() {
				for _, pattern := range m.rules {
					if !selects(pattern, r.ID) {
						continue
					}
					o := runner.Run(t.Context(), r.ID, func(tb testing.TB) { apirules.Check(tb, s, r) })
					if !o.Failed || o.Skipped != "" {
						t.Errorf("%s does not find it: %s", r.ID, o.Skipped)
					}
					t.Logf("%s: %.300q", r.ID, o.Failures)
					break
				}
			}
		})
	}
}
