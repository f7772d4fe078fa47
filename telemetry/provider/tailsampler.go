package provider

import (
	"context"
	"slices"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Bounds of a tailSampler. A span takes about 700 bytes, a turn has five of them.
const (
	maxTraces = 4096 // buffered at a time
	maxSpans  = 64   // buffered of one trace
	turnSpans = 6    // of most traces: room for them is made at once
	shards    = 16
	maxEnded  = 256 // ids of each shard that are remembered of traces that failed and have ended
)

// tailSampler exports the traces that hold a failure, whatever the head sampler
// decided. It buffers the spans of a trace that is not sampled until its last span
// has ended. If none of them failed it discards them. The first span that failed
// releases all that are buffered, and later spans of the trace are exported at once.
//
// A trace counts as failed when any of its spans has an error.type or the status
// Error. So a request that succeeded at its second attempt counts as well.
//
// A failed trace is remembered for a while after it has ended: what is done for its
// request later, such as another attempt to store an answer, is exported with it.
//
// Memory is bounded: when too many traces are buffered, the oldest is discarded.
// From then on its failing spans are exported one by one, so that a failure still
// shows, without the rest of its trace.
type tailSampler struct {
	next   sdktrace.SpanProcessor
	limit  int // traces of one shard
	shards [shards]shard
}

type shard struct {
	mu     sync.Mutex
	traces map[trace.TraceID]*buffered
	begun  uint64 // number of traces so far; gives each its age

	ended [maxEnded]trace.TraceID // failed, the oldest at next
	next  int
}

// buffered is a trace whose last span has not ended.
type buffered struct {
	age    uint64
	open   int // spans that have not ended
	failed bool
	spans  []sdktrace.ReadOnlySpan // those that have ended; none once the trace has failed
}

var _ sdktrace.SpanProcessor = (*tailSampler)(nil)

func newTailSampler(next sdktrace.SpanProcessor, limit int) *tailSampler {
	return &tailSampler{next: next, limit: max(1, limit/shards)}
}

func (t *tailSampler) shard(id trace.TraceID) *shard { return &t.shards[id[15]%shards] }

// OnStart implements sdktrace.SpanProcessor.
func (t *tailSampler) OnStart(parent context.Context, s sdktrace.ReadWriteSpan) {
	sc := s.SpanContext()
	if sc.IsSampled() {
		t.next.OnStart(parent, s)
		return
	}
	sh := t.shard(sc.TraceID())
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if w := sh.traces[sc.TraceID()]; w != nil {
		w.open++
	} else if !s.Parent().IsValid() || s.Parent().IsRemote() {
		sh.add(sc.TraceID(), t.limit)
	} // else its trace was discarded, or has ended
}

// add starts to buffer a trace, and discards the oldest when there are too many.
func (sh *shard) add(id trace.TraceID, limit int) {
	if sh.traces == nil {
		sh.traces = map[trace.TraceID]*buffered{}
	}
	if len(sh.traces) >= limit {
		var oldest trace.TraceID
		age := sh.begun + 1
		for id, w := range sh.traces {
			if w.age < age {
				oldest, age = id, w.age
			}
		}
		delete(sh.traces, oldest)
	}
	sh.begun++
	sh.traces[id] = &buffered{age: sh.begun, open: 1}
}

// OnEnd implements sdktrace.SpanProcessor.
func (t *tailSampler) OnEnd(s sdktrace.ReadOnlySpan) {
	if s.SpanContext().IsSampled() {
		t.next.OnEnd(s)
		return
	}
	for _, s := range t.shard(s.SpanContext().TraceID()).end(s) {
		t.next.OnEnd(sampledSpan{s})
	}
}

// end takes a span that has ended and returns the spans to export now.
func (sh *shard) end(s sdktrace.ReadOnlySpan) []sdktrace.ReadOnlySpan {
	bad, id := failed(s), s.SpanContext().TraceID()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	w := sh.traces[id]
	if w == nil {
		if bad || slices.Contains(sh.ended[:], id) {
			return []sdktrace.ReadOnlySpan{s}
		}
		return nil
	}
	w.failed = w.failed || bad
	if w.open--; w.open == 0 {
		delete(sh.traces, id)
		if w.failed {
			sh.ended[sh.next] = id
			sh.next = (sh.next + 1) % maxEnded
		}
	}
	if w.failed {
		now := append(w.spans, s)
		w.spans = nil
		return now
	}
	if w.spans == nil {
		w.spans = make([]sdktrace.ReadOnlySpan, 0, turnSpans)
	}
	if len(w.spans) < maxSpans {
		w.spans = append(w.spans, s)
	}
	return nil
}

// Shutdown implements sdktrace.SpanProcessor.
func (t *tailSampler) Shutdown(ctx context.Context) error { return t.next.Shutdown(ctx) }

// ForceFlush implements sdktrace.SpanProcessor.
func (t *tailSampler) ForceFlush(ctx context.Context) error { return t.next.ForceFlush(ctx) }

// failed reports whether a span has an error.type or the status Error.
func failed(s sdktrace.ReadOnlySpan) bool {
	return s.Status().Code == codes.Error || hasErrorType(s.Attributes())
}

func hasErrorType(list []attribute.KeyValue) bool {
	for _, a := range list {
		if a.Key == semconv.ErrorTypeKey {
			return true
		}
	}
	return false
}

// sampledSpan marks a span of a trace that was not sampled as sampled. Exporters
// skip spans that are not.
type sampledSpan struct{ sdktrace.ReadOnlySpan }

// SpanContext implements sdktrace.ReadOnlySpan.
func (s sampledSpan) SpanContext() trace.SpanContext {
	sc := s.ReadOnlySpan.SpanContext()
	return sc.WithTraceFlags(sc.TraceFlags().WithSampled(true))
}
