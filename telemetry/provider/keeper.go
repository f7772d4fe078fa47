package provider

import (
	"context"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Bounds of a keeper. A span takes about 700 bytes, a turn has five of them.
const (
	maxTraces = 4096 // that are waited for at a time
	maxSpans  = 64   // of one trace
	turnSpans = 6    // of most: room for them is made at once
	shards    = 16
)

// keeper lets failures through whatever the sampler said. The spans of a trace
// that is not sampled wait until the last of them has ended, and are forgotten
// then. The first that failed sends all that wait on their way, and all that
// come after it.
//
// A trace counts as failed when any of its spans has an error.type or the status
// Error. That is more than requests that failed: it takes in a request that was
// saved by a second try.
//
// Memory is bounded: when too many traces are waited for, the oldest is given
// up. From then on its failing spans are exported one by one, so that a failure
// still shows, if without its surroundings.
type keeper struct {
	next   sdktrace.SpanProcessor
	limit  int // traces of one shard
	shards [shards]shard
}

type shard struct {
	mu     sync.Mutex
	traces map[trace.TraceID]*waiting
	begun  uint64 // counts traces, to know the oldest
}

// waiting is a trace that may yet fail, or has and goes on.
type waiting struct {
	age    uint64
	open   int // spans that have not ended
	failed bool
	spans  []sdktrace.ReadOnlySpan // that wait; none once it has failed
}

var _ sdktrace.SpanProcessor = (*keeper)(nil)

func newKeeper(next sdktrace.SpanProcessor, limit int) *keeper {
	return &keeper{next: next, limit: max(1, limit/shards)}
}

func (k *keeper) shard(id trace.TraceID) *shard { return &k.shards[id[15]%shards] }

// OnStart implements sdktrace.SpanProcessor.
func (k *keeper) OnStart(parent context.Context, s sdktrace.ReadWriteSpan) {
	sc := s.SpanContext()
	if sc.IsSampled() {
		k.next.OnStart(parent, s)
		return
	}
	sh := k.shard(sc.TraceID())
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if w := sh.traces[sc.TraceID()]; w != nil {
		w.open++
	} else if !s.Parent().IsValid() || s.Parent().IsRemote() {
		sh.add(sc.TraceID(), k.limit)
	} // else it is of a trace that was given up, or is over
}

// add begins to wait for a trace, and gives up the oldest for it if need be.
func (sh *shard) add(id trace.TraceID, limit int) {
	if sh.traces == nil {
		sh.traces = map[trace.TraceID]*waiting{}
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
	sh.traces[id] = &waiting{age: sh.begun, open: 1}
}

// OnEnd implements sdktrace.SpanProcessor.
func (k *keeper) OnEnd(s sdktrace.ReadOnlySpan) {
	if s.SpanContext().IsSampled() {
		k.next.OnEnd(s)
		return
	}
	for _, s := range k.shard(s.SpanContext().TraceID()).end(s) {
		k.next.OnEnd(kept{s})
	}
}

// end takes a span that has ended and gives those that are to be exported now.
func (sh *shard) end(s sdktrace.ReadOnlySpan) []sdktrace.ReadOnlySpan {
	bad, id := failed(s), s.SpanContext().TraceID()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	w := sh.traces[id]
	if w == nil {
		if bad {
			return []sdktrace.ReadOnlySpan{s}
		}
		return nil
	}
	if w.open--; w.open == 0 {
		delete(sh.traces, id)
	}
	if w.failed = w.failed || bad; w.failed {
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
func (k *keeper) Shutdown(ctx context.Context) error { return k.next.Shutdown(ctx) }

// ForceFlush implements sdktrace.SpanProcessor.
func (k *keeper) ForceFlush(ctx context.Context) error { return k.next.ForceFlush(ctx) }

// failed reports whether a span says that something went wrong.
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

// kept is a span that is exported although its trace was not sampled: exporters
// skip what does not claim to be.
type kept struct{ sdktrace.ReadOnlySpan }

// SpanContext implements sdktrace.ReadOnlySpan.
func (k kept) SpanContext() trace.SpanContext {
	sc := k.ReadOnlySpan.SpanContext()
	return sc.WithTraceFlags(sc.TraceFlags().WithSampled(true))
}
