package telemetry_test

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"parley/store"
	"parley/telemetry"
)

// shardedStore is a store with shards.
type shardedStore struct {
	store.Store
	found store.Shards
}

func (s shardedStore) Shards(context.Context) store.Shards { return s.found }

// An observed store is sharded if it was, and only then. A look at its shards is
// measured, has no trace of its own, and fails with the class of the worst of them.
func TestShardsThroughTheDecorator(t *testing.T) {
	l := newLab(t)
	if _, ok := l.Store(struct{ store.Store }{}, telemetry.StoreOptions{System: "memory"}).(store.Sharded); ok {
		t.Error("a store without shards has got some")
	}
	want := store.Shards{Up: 2, Total: 3, SlotsServed: 10923, SlotsTotal: 16384, Worst: &store.Error{Op: "Shards", Kind: store.ErrUnreachable}}
	observed, ok := l.Store(shardedStore{found: want}, telemetry.StoreOptions{System: "redis"}).(store.Sharded)
	if !ok {
		t.Fatal("a store with shards has lost them")
	}
	if got := observed.Shards(t.Context()); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if n := len(l.spans.Started()); n != 0 {
		t.Errorf("%d spans of a probe", n)
	}
	if n := l.measured(t, "db.client.operation.duration"); n != 1 {
		t.Errorf("%d measurements", n)
	}
	asked := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled})
	observed.Shards(trace.ContextWithSpanContext(t.Context(), asked))
	if spans := l.spans.Ended(); len(spans) != 1 || attr(spans[0], "error.type").AsString() != "store_unreachable" {
		t.Errorf("for a request: %v", spans)
	}
}
