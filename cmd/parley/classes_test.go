package main

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/server"
	"parley/server/auth"
	"parley/server/turn"
	"parley/store"
)

// provoked says how to come by a failure class, through the API, and where it
// must show.
type provoked struct {
	change change
	ask    func(w *watched) told
	origin string // the span where it began, beside that of the request; or ""
	noTurn bool   // no turn was asked for
}

// provocations has every class of the table.
func provocations() map[string]provoked {
	all := map[string]provoked{
		"invalid_request":        {ask: func(w *watched) told { return w.ask("POST", "/api/chat/send", `{}`) }},
		"unauthenticated":        {change: verdictOf(auth.ErrUnauthenticated), ask: start},
		"forbidden":              {change: verdictOf(auth.ErrForbidden), ask: start},
		"auth_unavailable":       {change: verdictOf(auth.ErrUnavailable), ask: start},
		"not_found":              {ask: func(w *watched) told { return w.send(nobody(), "hello") }, origin: "BeginTurn"},
		"method_not_allowed":     {ask: func(w *watched) told { return w.ask("GET", "/api/chat/send", "") }, noTurn: true},
		"payload_too_large":      {ask: func(w *watched) told { return w.send(nobody(), strings.Repeat("x", 300<<10)) }},
		"unsupported_media_type": {ask: func(w *watched) told { return w.ask("POST", "/api/chat/send", "text", "Content-Type", "text/plain") }},
		"turn_conflict":          beginFails(&store.BusyError{Turn: 1, RetryAfter: time.Second}),
		"conversation_closed":    beginFails(store.ErrClosed),
		"conversation_full":      beginFails(store.ErrConversationFull),
		"quota_exceeded":         beginFails(store.ErrQuota),
		"idempotency_mismatch":   beginFails(store.ErrMismatch),
		"internal":               beginFails(errors.New("nobody foresaw this")),
		"store_corrupt":          beginFails(outage(store.ErrCorrupt)),
		"overloaded": {change: func(c *config, _ *seams) { c.maxTurns = 1 }, ask: func(w *watched) (second told) {
			w.store.begin = func(context.Context) error {
				w.store.begin = nil
				second = start(w)
				return nil
			}
			start(w)
			return second
		}},
		"panic": {ask: func(w *watched) told {
			w.store.begin = func(context.Context) error { panic("at the disco") }
			return start(w)
		}},
		"client_canceled": {ask: func(w *watched) told {
			ctx, leave := context.WithCancel(w.t.Context())
			over := make(chan struct{})
			w.store.begin = func(ctx context.Context) error {
				defer close(over)
				leave()
				<-ctx.Done()
				return ctx.Err()
			}
			if _, err := w.do(ctx, "POST", "/api/chat/start", ""); err == nil {
				w.t.Error("the client did not leave")
			}
			<-over
			return told{}
		}, origin: "BeginTurn"},
		"shutting_down": {ask: func(w *watched) told {
			if err := w.server.Shutdown(w.t.Context()); err != nil {
				w.t.Fatal(err)
			}
			return start(w)
		}},
		"instance_lost": beginFails(turn.ErrAbandoned),
		"token_unavailable": {change: func(c *config, _ *seams) {
			c.stubToken, c.endpoint.Scope = "", "scope"
			c.copilotAuthority, c.copilotTenant, c.copilotApp, c.copilotSecret = "https://127.0.0.1:1", "tenant", "app", "secret"
		}, ask: start, origin: "fetch_token"},
		"upstream_unreachable": {ask: func(w *watched) told {
			w.unplug()
			return start(w)
		}, origin: "invoke_agent"},
		"upstream_timeout":     agentDoes("/nothing"),
		"upstream_throttled":   agentDoes("/status 429"),
		"upstream_rejected":    agentDoes("/status 401"),
		"upstream_error":       agentDoes("/status 500"),
		"upstream_protocol":    agentDoes("/html"),
		"upstream_interrupted": agentDoes("/cut"),
		"agent_error":          agentDoes("/error"),
	}
	for class, kind := range map[string]error{
		"store_unreachable": store.ErrUnreachable, "store_timeout": store.ErrTimeout, "store_pool_exhausted": store.ErrPoolExhausted,
		"store_auth": store.ErrAuth, "store_credentials": store.ErrCredentials, "store_misconfigured": store.ErrMisconfigured, "store_not_ready": store.ErrNotReady, "store_readonly": store.ErrReadOnly,
		"store_full": store.ErrFull, "store_lost": store.ErrLost, "store_protocol": store.ErrProtocol, "store_rejected": store.ErrRejected,
	} {
		all[class] = beginFails(outage(kind))
	}
	return all
}

func start(w *watched) told { return w.ask("POST", "/api/chat/start", "") }

func outage(kind error) error { return &store.Error{Op: "BeginTurn", Kind: kind, Code: "CODE"} }

func verdictOf(err error) change {
	return func(c *config, with *seams) { c.authRequired, with.verifier = true, verdict{err} }
}

// beginFails is a store that fails before the agent is asked.
func beginFails(err error) provoked {
	return provoked{origin: "BeginTurn", ask: func(w *watched) told {
		w.store.begin = func(context.Context) error { return err }
		return start(w)
	}}
}

// agentDoes is an agent that misbehaves in a turn.
func agentDoes(command string) provoked {
	return provoked{
		origin: "invoke_agent",
		change: func(c *config, _ *seams) { c.copilotTimeout = 300 * time.Millisecond },
		ask:    func(w *watched) told { return w.send(w.start(), command) },
	}
}

// TEL-01: an operator who has any one of the answer, the spans, the metrics and
// the log finds the others, because all of them name the same class; over either
// protocol of OTLP. A class of the table that is not provoked here fails.
func TestEverySignalNamesTheClass(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		for f := range server.Failures() {
			t.Run(protocol+"/"+f.Class, func(t *testing.T) {
				p, ok := provocations()[f.Class]
				if !ok {
					t.Fatal("nothing provokes this class")
				}
				w := watch(t, protocol, p.change)
				answer := p.ask(w)
				w.end()
				w.check(f, p, answer)
			})
		}
	}
}

// check compares all that a failure left.
func (w *watched) check(f server.Failure, p provoked, answer told) {
	t := w.t
	t.Helper()
	errorType := f.Class
	if f.Class == "client_canceled" {
		errorType = ""
	} else if answer.status != f.Status || f.Status >= 400 && (answer.Class != f.Class || answer.Error != f.Class) {
		t.Errorf("the answer is %d %s", answer.status, answer.body)
	}

	var request span
	for _, s := range w.collector.server() {
		if s.attrs["parley.outcome"] == f.Class {
			request = s
		}
	}
	status := ""
	if f.Class != "client_canceled" { // who has left is sent none
		status = strconv.Itoa(f.Status)
	}
	if request.attrs["http.response.status_code"] != status || w.collector.sum("http.server.request.duration", attributes{"http.response.status_code": "499"}) != 0 {
		t.Errorf("span and durations have a status that nobody was sent: %+v", request)
	}
	if request.attrs["error.type"] != errorType || request.failed != f.SpanError || request.described {
		t.Errorf("span of the request: %+v", request)
	}
	if answer.TraceID != "" && answer.TraceID != request.trace {
		t.Errorf("the answer names trace %s, the span is of %s", answer.TraceID, request.trace)
	}
	if p.origin != "" {
		found := false
		for _, s := range w.collector.named(p.origin) {
			// What is no failure of the system that was called is an outcome there.
			said, silent := "error.type", "parley.outcome"
			if !f.SpanError {
				said, silent = silent, said
			}
			found = found || s.trace == request.trace && s.attrs[said] == f.Class && s.attrs[silent] == "" && s.failed == f.SpanError && !s.described
		}
		if !found {
			t.Errorf("no span %s says so: %+v", p.origin, w.collector.named(p.origin))
		}
	}

	if errorType != "" && w.collector.sum("http.server.request.duration", attributes{"error.type": f.Class}) != 1 {
		t.Errorf("durations: %+v", w.collector.points)
	}
	turns := 1.0
	if p.noTurn {
		turns = 0
	}
	if got := w.collector.sum("parley.turns", attributes{"parley.outcome": f.Class}); got != turns {
		t.Errorf("%v turns of that outcome", got)
	}

	found := 0
	for _, l := range w.lines() {
		if l["class"] == f.Class {
			found++
			if l["trace_id"] != request.trace || l["span_id"] != request.id || l["level"] != f.Level.String() {
				t.Errorf("line: %v", l)
			}
			if reason, _ := l["reason"].(string); reason != request.attrs["parley.failure.reason"] || (reason == "") != (len(server.Reasons()[f.Class]) == 0) {
				t.Errorf("the reason is %q in the line, and %q on the span", reason, request.attrs["parley.failure.reason"])
			}
		}
	}
	for _, l := range w.collector.requests() {
		if l.attrs["class"] == f.Class && l.trace == request.trace {
			found++
		}
	}
	if found != 2 {
		t.Errorf("found in %d lines, want one written and one exported: %s", found, w.log)
	}
}

// What went well names no class anywhere.
func TestSuccessNamesNoClass(t *testing.T) {
	w := watch(t, "http/protobuf")
	w.send(w.start(), "hello")
	w.end()
	for _, s := range w.collector.spans {
		if s.attrs["error.type"] != "" || s.failed || s.kind == "SPAN_KIND_SERVER" && s.attrs["parley.outcome"] != "ok" {
			t.Errorf("span: %+v", s)
		}
	}
	for _, p := range w.collector.points {
		if p.Value != 0 && (p.Attributes["error.type"] != "" || p.Metric == "parley.turns" && p.Attributes["parley.outcome"] != "ok") {
			t.Errorf("point: %+v", p)
		}
	}
	if got := w.collector.sum("parley.turns", attributes{"parley.outcome": "ok"}); got != 2 {
		t.Errorf("%v turns went well", got)
	}
	for _, l := range w.lines() {
		if l["class"] != "" {
			t.Errorf("line: %v", l)
		}
	}
}

// Every outcome has its series before the first request, or the first failure
// would not show in a rate.
func TestTurnsAreCountedFromZero(t *testing.T) {
	w := watch(t, "grpc")
	w.end()
	series := map[string]bool{}
	for _, p := range w.collector.points {
		if p.Metric == "parley.turns" {
			series[p.Attributes["parley.outcome"]] = p.Value == 0
		}
	}
	for f := range server.Failures() {
		if !series[f.Class] {
			t.Errorf("no series for %s", f.Class)
		}
	}
	if !series["ok"] {
		t.Error("no series for what goes well")
	}
}
