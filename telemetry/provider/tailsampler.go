package provider

import (
	"sync"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Bounds of a tailSampler. A span takes about 1 KB, a turn has five of them.
const (
	maxTraces = 4096 // buffered at a time
	maxSpans  = 64   // buffered of one trace
	turnSpans = 6    // of most traces: room for them is made at once
)

// tailSampler exports the traces that hold a failure, whatever the head sampler
// decided. It buffers the spans of a trace that is not sampled until its last span
// has ended. If none of them failed it discards them. The first span that failed
// releases all that are buffered, and later spans of the trace are exported at once.
//
// A trace counts as failed when any of its spans has an error.type or the status
// Error. So a request that succeeded at its second attempt counts as well. Requests
// that continue the same trace of a caller are buffered one by one.
//
// What is done for a request after its failed trace has ended, such as another attempt to
// store an answer, is exported with it.
//
// Memory is bounded: when too many traces are buffered, the oldest is discarded.
// From then on its failing spans are exported one by one, so that a failure still
// shows, without the rest of its trace.
type tailSampler struct {
	export func(sdktrace.ReadOnlySpan)
	limit  int // traces

	mu             sync.Mutex
	oldest, newest *traceBuffer // in the order in which they began
	traces         int
}

// traceBuffer has the spans of a trace that is not sampled, and what became of it. Spans lead
// to it, so it lasts as long as something may still be done for the trace.
type traceBuffer struct {
	mu     sync.Mutex
	open   int  // spans that have not ended
	failed bool // since then nothing is buffered
	state  bufferState
	spans  []*span // those that have ended

	older, newer *traceBuffer // guarded by tailSampler.mu, like inList
	inList       bool
}

type bufferState int

const (
	buffering bufferState = iota
	ended                 // its last span had ended
	discarded             // there were too many
)

func newTailSampler(export func(sdktrace.ReadOnlySpan), limit int) *tailSampler {
	return &tailSampler{export: export, limit: limit}
}

// begin is called for a span that starts and is not sampled, and gives the buffer of its
// trace; nil if there is none. Local is the span above it in this process, or nil.
func (t *tailSampler) begin(local *span, parent trace.SpanContext) *traceBuffer {
	if local != nil {
		if b := local.buffer; b != nil {
			b.mu.Lock()
			b.open++
			b.mu.Unlock()
			return b
		}
	}
	if parent.IsValid() && !parent.IsRemote() {
		return nil // only its ids are known
	}
	b := &traceBuffer{open: 1}
	if oldest := t.add(b); oldest != nil {
		oldest.mu.Lock()
		if oldest.state == buffering {
			oldest.state, oldest.spans = discarded, nil
		}
		oldest.mu.Unlock()
	}
	return b
}

// end is called for every span that has ended, and exports what is to be exported now.
func (t *tailSampler) end(s *span) {
	if s.context.IsSampled() {
		t.export(s)
		return
	}
	b := s.buffer
	if b == nil {
		if s.failed() {
			t.export(sampledSpan{s})
		}
		return
	}
	now, last := b.end(s)
	if last {
		t.remove(b)
	}
	for _, s := range now {
		t.export(sampledSpan{s})
	}
}

// end takes a span that has ended and returns the spans to export now, and whether it was
// the last of the trace.
func (b *traceBuffer) end(s *span) (now []*span, last bool) {
	bad := s.failed()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state != discarded {
		b.failed = b.failed || bad
	}
	switch {
	case bad || b.failed:
		now = append(b.spans, s)
		b.spans = nil
	case b.state == buffering && len(b.spans) < maxSpans:
		if b.spans == nil {
			b.spans = make([]*span, 0, turnSpans)
		}
		b.spans = append(b.spans, s)
	}
	if b.open--; b.open == 0 && b.state == buffering {
		b.state, b.spans, last = ended, nil, true
	}
	return now, last
}

// add makes a buffer the newest. If there are too many it takes out the oldest and
// returns it.
func (t *tailSampler) add(b *traceBuffer) (oldest *traceBuffer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.traces >= t.limit {
		oldest = t.oldest
		t.unlink(oldest)
	}
	b.older, b.inList = t.newest, true
	if t.newest != nil {
		t.newest.newer = b
	} else {
		t.oldest = b
	}
	t.newest = b
	t.traces++
	return oldest
}

func (t *tailSampler) remove(b *traceBuffer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if b.inList { // else it was too old in this very moment
		t.unlink(b)
	}
}

func (t *tailSampler) unlink(b *traceBuffer) {
	if b.older != nil {
		b.older.newer = b.newer
	} else {
		t.oldest = b.newer
	}
	if b.newer != nil {
		b.newer.older = b.older
	} else {
		t.newest = b.older
	}
	b.older, b.newer, b.inList = nil, nil, false
	t.traces--
}

// sampledSpan marks a span of a trace that was not sampled as sampled. Exporters
// skip spans that are not.
type sampledSpan struct{ *span }

// SpanContext implements sdktrace.ReadOnlySpan.
func (s sampledSpan) SpanContext() trace.SpanContext {
	sc := s.span.SpanContext()
	return sc.WithTraceFlags(sc.TraceFlags().WithSampled(true))
}
