package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"parley/contracttest/apirules"
	"parley/contracttest/matrix"
	"parley/contracttest/mutants"
	"parley/contracttest/report"
	"parley/server/copilot"
	"parley/store"
	"parley/store/memory"
)

// asMutant makes the test binary be the program with one of processMutants in it, or
// list them: the contract suite as a command is tried on them.
const (
	asMutant    = "PARLEY_MUTANT"
	listMutants = "list"
)

// processMutant is a service with a fault of its own, as a process.
type processMutant struct {
	Name  string `json:"name"`
	Wrong string `json:"wrong"` // one sentence
	// Finds are the rules that find it. Of all rules that any mutant names, it breaks
	// these and no others.
	Finds []string `json:"finds"`

	with     mutant
	settings map[string]string // that it has whatever it is told
}

const (
	postStart = "POST /api/chat/start"
	postSend  = "POST /api/chat/send"
	getOne    = "GET /api/chat/conversations/{id}"
	getHealth = "GET /health, /readyz, /livez"
)

// processMutants are one or more for each chapter of the suite.
func processMutants() []processMutant {
	cell := report.CellID
	return []processMutant{
		{Name: right, Wrong: "Nothing is wrong with it."},
		{
			Name: "answers-502", Wrong: "It answers 502 for everything that broke.", with: mutant{handler: all502},
			Finds: []string{cell("refused", postSend), cell("refused", postStart), cell("closed-after", postSend), cell("lost-request", getOne), cell("refused", getHealth), "signal.span-store"},
		},
		{
			Name: "blames-redis", Wrong: "It takes a network error of the agent for one of Redis.", with: mutant{agent: func(a copilot.Agent) copilot.Agent { return confused{a} }},
			Finds: []string{cell("agent-refused", postSend)},
		},
		{
			Name: "ignores-the-deadline", Wrong: "It waits three times as long for Redis as it is told.", with: mutant{patience: 3},
			Finds: []string{cell("lost-request", getOne)},
		},
		{
			Name: "remembers-its-health", Wrong: "It tells how it is from a probe that is long over.", with: mutant{handler: staleHealth},
			Finds: []string{cell("refused", getHealth)},
		},
		brokenStore("falls-back-to-memory", cell("refused", postStart), cell("refused", postSend), cell("closed-after", postSend), "signal.span-store"),
		brokenStore("blames-the-agent", cell("refused", postSend), cell("refused", postStart), cell("closed-after", postSend), cell("lost-request", getOne), "signal.span-store"),
		brokenStore("hides-an-outage", cell("lost-request", getOne), cell("refused", postStart), cell("refused", postSend), cell("closed-after", postSend), "signal.span-store"),
		brokenStore("sends-again", cell("closed-after", postSend)),
		{
			Name: "fails-when-busy", Wrong: "It reports that a turn runs as a failure of its own.", with: mutant{handler: busyFails},
			Finds: []string{"conflict.second", "instances.conflict"},
		},
		{
			Name: "does-not-wait", Wrong: "It refuses a message while another turn runs, however long that is to wait.", settings: map[string]string{"TURN_WAIT": "0"},
			Finds: []string{"conflict.waits", "instances.waits"},
		},
		brokenStore("hides-that-it-is-closed", "conflict.closed"),
		brokenStore("ignores-keys", "repeat.same", "restart.kept"),
		brokenStore(
			"acknowledges-and-forgets", "shape.read", "restart.kept", "repeat.same", "conflict.waits", "instances.waits",
			cell("refused", postStart), cell("refused", postSend), cell("closed-after", postSend), cell("lost-request", getOne), cell("agent-refused", postSend),
		),
		{
			Name: "keeps-for-longer", Wrong: "It gives conversations another time to live than it is told.", settings: map[string]string{"REDIS_TTL": "86400"},
			Finds: []string{"ttl.every-key"},
		},
		{
			Name: "lets-everybody-in", Wrong: "It takes every caller for one user, with a token or without.", settings: map[string]string{"AUTH_REQUIRED": "false"},
			Finds: []string{"owner.no-token", "owner.list"},
		},
		{
			Name: "does-not-stream", Wrong: "It answers whole where a stream is asked for.", with: mutant{handler: wholeAnswers},
			Finds: []string{"stream.send"},
		},
		{
			Name: "exports-no-spans", Wrong: "It exports no spans.", settings: map[string]string{"OTEL_TRACES_EXPORTER": "none"},
			Finds: []string{"signal.span-store"},
		},
		{
			Name: "takes-anything", Wrong: "It takes a text of any type for a text.", with: mutant{handler: numbersAreTexts},
			Finds: []string{"refused.text-type"},
		},
	}
}

// brokenStore is a service on one of the stores that are broken on purpose.
func brokenStore(name string, finds ...string) processMutant {
	all := mutants.All()
	i := slices.IndexFunc(all, func(m mutants.Mutant) bool { return m.Name == name })
	if i < 0 {
		panic("there is no mutant " + name)
	}
	return processMutant{Name: name, Wrong: all[i].Wrong, Finds: finds, with: mutant{store: func(s store.Store) store.Store {
		return all[i].Break(s, mutants.Options{
			Memory:     func() store.Store { return memory.New(memory.Options{}) },
			AgentError: func(cause error) error { return &copilot.Error{Op: "turn", Kind: copilot.ErrUnreachable, Cause: cause} },
		})
	}}}
}

// wholeAnswers hides that a stream was asked for.
func wholeAnswers(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Accept")
		h.ServeHTTP(w, r)
	})
}

// busyFails answers 503 where a turn runs already.
func busyFails(h http.Handler) http.Handler {
	return recorded(h, func(_ *http.Request, rec *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		if rec.Code == http.StatusConflict && strings.Contains(rec.Body.String(), "turn_conflict") {
			rec.Code = http.StatusServiceUnavailable
		}
		return rec
	})
}

// numbersAreTexts answers a text that is a number as if it were in a conversation that
// there is not.
func numbersAreTexts(h http.Handler) http.Handler {
	return recorded(h, func(_ *http.Request, rec *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		if rec.Code == http.StatusBadRequest && strings.Contains(rec.Body.String(), "text") {
			rec.Code = http.StatusNotFound
		}
		return rec
	})
}

// mutantMain is the program with a mutant in it.
func mutantMain(name string, stdout, stderr io.Writer) error {
	all := processMutants()
	if name == listMutants {
		return json.NewEncoder(stdout).Encode(all)
	}
	i := slices.IndexFunc(all, func(m processMutant) bool { return m.Name == name })
	if i < 0 {
		return fmt.Errorf("%s: there is no mutant %q", asMutant, name)
	}
	m := all[i]
	for name, value := range m.settings {
		// Not all of them are read by load.
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	c, err := load(processEnvironment())
	if err != nil {
		return err
	}
	c.redisTimeout *= max(1, m.with.patience)
	return serve(untilSignal(os.Interrupt, syscall.SIGTERM), c, seams{store: m.with.store, agent: m.with.agent, api: m.with.handler}, stdout, stderr)
}

// A mutant is named once, and names rules that there are.
func TestProcessMutants(t *testing.T) {
	rules := map[string]bool{}
	for _, r := range apirules.Rules() {
		rules[r.ID] = true
	}
	var cells []matrix.Cell
	for _, r := range matrix.Rows() {
		cells = append(cells, r.Plan(matrix.Target{}, false)...)
	}
	for _, r := range matrix.UpstreamRows() {
		cells = append(cells, r.Plan(matrix.Target{})...)
	}
	for _, c := range cells {
		rules[c.Rule().ID] = true
	}
	seen := map[string]bool{}
	for _, m := range processMutants() {
		if seen[m.Name] || m.Wrong == "" || (len(m.Finds) == 0) != (m.Name == right) {
			t.Errorf("%s is there twice, says nothing, or is found by nothing", m.Name)
		}
		seen[m.Name] = true
		for _, id := range m.Finds {
			if !rules[id] {
				t.Errorf("%s names the rule %s, which does not exist", m.Name, id)
			}
		}
	}
	var list strings.Builder
	if err := mutantMain(listMutants, &list, io.Discard); err != nil || !strings.Contains(list.String(), `"finds":["agent-refused/POST /api/chat/send"]`) {
		t.Errorf("the list: %v %s", err, list.String())
	}
	if err := mutantMain("nobody", io.Discard, io.Discard); err == nil {
		t.Error("a mutant that there is not is run")
	}
}
