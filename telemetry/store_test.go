package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"parley/store"
	"parley/store/memory"
	"parley/telemetry"
)

// failing is a store each of whose calls makes one round trip, and fails.
type failing struct {
	store.Store
	tell func(context.Context, telemetry.RoundTrip)
	err  error
}

func (f failing) RenewLease(ctx context.Context, _ store.Turn) (store.Signals, error) {
	f.tell(ctx, telemetry.RoundTrip{Command: "EVALSHA", Script: "renew", Peer: "10.0.0.1:6380", Took: time.Millisecond, Err: f.err})
	return store.Signals{}, f.err
}

// ofRedis describes a store as the service does.
var ofRedis = telemetry.StoreOptions{
	System: "redis", Address: "cache.example", Port: 6380, Namespace: "3",
	Operation: func(method string) (string, string) { return "EVALSHA", "of " + method },
}

// has checks attributes by their texts; "" is for one that must not be there.
func has(t *testing.T, what string, list []attribute.KeyValue, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for _, a := range list {
		got[string(a.Key)] = a.Value.String()
	}
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s: %s is %q, want %q", what, key, got[key], value)
		}
	}
}

// A failure of the store is the error.type of the call and of the attempt, on spans and
// on the metric. What the caller brought about is an outcome: no error.type, no status.
func TestResultsOfTheStore(t *testing.T) {
	outage := func(e store.Error) error { e.Op = "RenewLease"; return &e }
	for what, c := range map[string]struct {
		err                            error
		errorType, outcome, code, open string
		reason, opened                 string
	}{
		"no answer": {err: outage(store.Error{Kind: store.ErrUnreachable}), errorType: "store_unreachable"},
		"refused":   {err: outage(store.Error{Kind: store.ErrUnreachable, Reason: "connection refused"}), errorType: "store_unreachable", reason: "connection refused"},
		"a refusal": {err: outage(store.Error{Kind: store.ErrFull, Code: "OOM"}), errorType: "store_full", code: "OOM"},
		"the breaker is open": {err: outage(store.Error{
			Kind: store.ErrTimeout, Reason: "circuit breaker is open", BreakerOpen: true, OpenedBy: "no reply: 40 bytes sent, 0 bytes received", OpenedAt: time.Date(2026, 3, 2, 10, 15, 4, 120e6, time.FixedZone("", 3600)),
		}), errorType: "store_timeout", open: "open", reason: "no reply: 40 bytes sent, 0 bytes received", opened: "2026-03-02T09:15:04.12Z"},
		"a deadline of ours":   {err: fmt.Errorf("store: %w", context.DeadlineExceeded), errorType: "store_timeout"},
		"nobody foresaw it":    {err: errors.New("?"), errorType: "internal"},
		"no such conversation": {err: fmt.Errorf("store: %w", store.ErrNotFound), outcome: "not_found"},
		"the caller left":      {err: errLeft, outcome: "client_canceled"},
		"too much to do":       {err: outage(store.Error{Kind: store.ErrOverloaded}), outcome: "overloaded"},
	} {
		l := newLab(t)
		s := l.Store(failing{tell: l.StoreRoundTrip, err: c.err}, ofRedis)
		if _, err := s.RenewLease(t.Context(), store.Turn{}); !errors.Is(err, c.err) {
			t.Errorf("%s: the call gives %v", what, err)
		}
		status := codes.Unset
		if c.errorType != "" {
			status = codes.Error
		}
		result := map[string]string{"error.type": c.errorType, "parley.outcome": c.outcome, "db.response.status_code": c.code}
		spans := l.spans.Ended()
		if len(spans) != 2 {
			t.Fatalf("%s: %d spans", what, len(spans))
		}
		for i, span := range spans {
			name := fmt.Sprint(what, ", ", []string{"attempt", "call"}[i])
			has(t, name, span.Attributes(), result)
			has(t, name, span.Attributes(), map[string]string{
				"parley.store.breaker": c.open, "parley.store.breaker.opened_at": c.opened, "parley.failure.reason": c.reason,
			})
			if span.Status().Code != status || span.Status().Description != "" {
				t.Errorf("%s: status %+v", name, span.Status())
			}
		}
		has(t, what+", metric", durations(t, l)[0].Attributes.ToSlice(), result)
	}
}

// A late call that another request waits for is shown to both, in the trace of each: as
// one span that links to the other. It is measured once.
func TestAwaitedCall(t *testing.T) {
	l := newLab(t)
	away := &store.Error{Op: "CompleteTurn", Kind: store.ErrUnreachable}
	s := l.Store(ends{err: away}, ofRedis)
	request := func(n byte) context.Context {
		sc := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{n}, SpanID: trace.SpanID{n}, TraceFlags: trace.FlagsSampled})
		return trace.ContextWithSpanContext(t.Context(), sc)
	}
	for method, call := range map[string]func(context.Context) error{
		"CompleteTurn": func(ctx context.Context) error { return s.CompleteTurn(ctx, store.Turn{}, store.Completion{}) },
		"FailTurn":     func(ctx context.Context) error { return s.FailTurn(ctx, store.Turn{}, "internal") },
	} {
		before := l.measured(t, "db.client.operation.duration")
		l.spans.Reset()
		if err := call(store.Awaited(request(1), request(2))); !errors.Is(err, away) {
			t.Fatal(err)
		}
		spans := l.spans.Ended()
		if len(spans) != 2 {
			t.Fatalf("%s: %d spans", method, len(spans))
		}
		for i, span := range spans {
			if n := byte(i + 1); span.SpanContext().TraceID() != (trace.TraceID{n}) || span.Parent().SpanID() != (trace.SpanID{n}) {
				t.Errorf("%s: span %d belongs to %v", method, i, span.Parent())
			}
			has(t, method, span.Attributes(), map[string]string{"error.type": "store_unreachable", "server.address": "cache.example", "parley.store.operation": method})
		}
		if links := spans[1].Links(); len(links) != 1 || links[0].SpanContext.SpanID() != spans[0].SpanContext().SpanID() {
			t.Errorf("%s: links %v", method, links)
		}
		if n := l.measured(t, "db.client.operation.duration") - before; n != 1 {
			t.Errorf("%s: measured %d times", method, n)
		}
	}
}

// ends is a store that takes no ends of turns.
type ends struct {
	store.Store
	err error
}

func (e ends) CompleteTurn(context.Context, store.Turn, store.Completion) error { return e.err }
func (e ends) FailTurn(context.Context, store.Turn, string) error               { return e.err }

// durations are the points of the metric of the store's calls.
func durations(t *testing.T, l *lab) []metricdata.HistogramDataPoint[float64] {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := l.metrics.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if h, ok := m.Data.(metricdata.Histogram[float64]); ok && m.Name == "db.client.operation.duration" {
				return h.DataPoints
			}
		}
	}
	t.Fatal("nothing was measured")
	return nil
}

// asked is a sampler that keeps what it was asked.
type asked struct {
	by *[]sdktrace.SamplingParameters
}

func (a asked) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	*a.by = append(*a.by, p)
	return sdktrace.AlwaysSample().ShouldSample(p)
}

func (a asked) Description() string { return "asked" }

// A sampler sees of every call, and of every attempt that failed, where it goes to and
// what it does, because that is said when the span starts.
func TestSamplersSeeWhatTheStoreIsAsked(t *testing.T) {
	var params []sdktrace.SamplingParameters
	tel, err := telemetry.New(telemetry.Options{
		Tracers: sdktrace.NewTracerProvider(sdktrace.WithSampler(asked{&params}), sdktrace.WithSpanProcessor(tracetest.NewSpanRecorder())),
		Class:   class, Classes: []telemetry.Class{{Name: "internal", SpanError: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	where := map[string]string{"server.address": "cache.example", "server.port": "6380", "db.namespace": "3"}
	of := func(method string) map[string]string {
		return map[string]string{"db.system.name": "redis", "db.operation.name": "EVALSHA", "db.stored_procedure.name": "of " + method, "parley.store.operation": method}
	}
	parent := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled})
	ctx := trace.ContextWithSpanContext(t.Context(), parent) // as of a request: then probes have spans, too
	for method, call := range map[string]func(store.Store){
		"BeginTurn":    func(s store.Store) { _, _ = s.BeginTurn(ctx, store.Begin{}) },
		"CompleteTurn": func(s store.Store) { _ = s.CompleteTurn(ctx, store.Turn{}, store.Completion{}) },
		"FailTurn":     func(s store.Store) { _ = s.FailTurn(ctx, store.Turn{}, "internal") },
		"RenewLease":   func(s store.Store) { _, _ = s.RenewLease(ctx, store.Turn{}) },
		"Conversation": func(s store.Store) { _, _ = s.Conversation(ctx, owner, "id", store.Range{}) },
		"List":         func(s store.Store) { _, _ = s.List(ctx, owner, page) },
		"SetStatus":    func(s store.Store) { _, _ = s.SetStatus(ctx, owner, "id", store.StatusCompleted) },
		"Delete":       func(s store.Store) { _ = s.Delete(ctx, owner, "id") },
		"Ping":         func(s store.Store) { _ = s.Ping(ctx) },
		"Publish":      func(s store.Store) { _, _, _ = s.Publish(ctx, store.Turn{}, store.Entry{}) },
		"Follow":       func(s store.Store) { _, _ = s.Follow(ctx, store.Follow{}) },
		"Stop":         func(s store.Store) { _, _, _ = s.Stop(ctx, owner, "id") },
	} {
		for system, o := range map[string]telemetry.StoreOptions{"redis": ofRedis, "memory": {System: "memory"}} {
			params = nil
			call(tel.Store(memory.New(memory.Options{TTL: time.Hour}), o))
			if len(params) != 1 {
				t.Fatalf("%s: %d spans", method, len(params))
			}
			if system == "memory" {
				has(t, method, params[0].Attributes, map[string]string{"db.system.name": "memory", "db.operation.name": method, "parley.store.operation": method, "server.address": ""})
				continue
			}
			has(t, method, params[0].Attributes, of(method))
			has(t, method, params[0].Attributes, where)
		}
	}
	params = nil
	_, _ = tel.Store(failing{tell: tel.StoreRoundTrip, err: errors.New("?")}, ofRedis).RenewLease(ctx, store.Turn{})
	if len(params) != 2 {
		t.Fatalf("%d spans of a call and its attempt", len(params))
	}
	has(t, "attempt", params[1].Attributes, where)
	has(t, "attempt", params[1].Attributes, map[string]string{
		"db.system.name": "redis", "db.operation.name": "EVALSHA", "db.stored_procedure.name": "renew", "parley.store.operation": "RenewLease",
		"parley.store.attempt": "1", "network.peer.address": "10.0.0.1", "network.peer.port": "6380",
	})
}
