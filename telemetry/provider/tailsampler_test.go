package provider

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// behind makes a tracer whose spans pass a tailSampler, and records what it exports.
func behind(sampler sdktrace.Sampler, limit int) (trace.Tracer, *tailSampler, *tracetest.SpanRecorder) {
	out := tracetest.NewSpanRecorder()
	ts := newTailSampler(out.OnEnd, limit)
	return (&tracers{sampler: sampler, tail: ts, resource: resource.Empty(), limits: limits{sdktrace.NewSpanLimits()}}).Tracer("test"), ts, out
}

// request makes a trace of five spans, of which child number bad fails.
func request(tracer trace.Tracer, bad int) trace.TraceID {
	ctx, root := tracer.Start(context.Background(), "root")
	for i := range 4 {
		_, child := tracer.Start(ctx, fmt.Sprint("child ", i))
		if i == bad {
			child.SetAttributes(attribute.String("error.type", "turn_conflict")) // the status stays as it is
		}
		child.End()
	}
	if bad == 4 {
		root.SetStatus(codes.Error, "")
	}
	root.End()
	return root.SpanContext().TraceID()
}

// buffered counts the traces that a tailSampler holds.
func (t *tailSampler) buffered() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for b := t.oldest; b != nil; b = b.newer {
		n++
	}
	return n
}

// TEL-03: with sampling off, every trace that holds a failure is exported whole and
// as sampled, and no other trace is. Nothing stays buffered.
func TestFailuresSurviveSampling(t *testing.T) {
	tracer, ts, out := behind(sdktrace.NeverSample(), maxTraces)
	want := map[trace.TraceID]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 50 {
				id := request(tracer, i%10) // 5 of 10 have a failure, in each place
				if i%10 <= 4 {
					mu.Lock()
					want[id] = 5
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	got := map[trace.TraceID]int{}
	for _, s := range out.Ended() {
		if !s.SpanContext().IsSampled() {
			t.Fatal("exporters skip this span")
		}
		got[s.SpanContext().TraceID()]++
	}
	if len(got) != len(want) {
		t.Errorf("%d traces were exported, %d failed", len(got), len(want))
	}
	for id := range want {
		if got[id] != 5 {
			t.Errorf("%d of 5 spans of a failed trace were exported", got[id])
		}
	}
	if n := ts.buffered(); n != 0 {
		t.Errorf("%d traces are still held", n)
	}
}

// A sampled span is exported at once, and once.
func TestSampledPasses(t *testing.T) {
	tracer, ts, out := behind(sdktrace.AlwaysSample(), maxTraces)
	request(tracer, 2)
	request(tracer, 9)
	if n := len(out.Ended()); n != 10 || ts.buffered() != 0 {
		t.Errorf("%d spans, %d held", n, ts.buffered())
	}
}

// A span may end after its root. The trace has not ended before.
func TestLateSpan(t *testing.T) {
	tracer, ts, out := behind(sdktrace.NeverSample(), maxTraces)
	ctx, root := tracer.Start(t.Context(), "root")
	_, late := tracer.Start(ctx, "late")
	root.End()
	if len(out.Ended()) != 0 || ts.buffered() != 1 {
		t.Fatal("decided too early")
	}
	late.SetStatus(codes.Error, "")
	late.End()
	if len(out.Ended()) != 2 || ts.buffered() != 0 {
		t.Errorf("%d spans, %d held", len(out.Ended()), ts.buffered())
	}
}

// What is done for a request after a failure has ended it is exported too, and what
// is done after a success is not.
func TestSpanAfterTheEnd(t *testing.T) {
	for failed, want := range map[bool]int{true: 2, false: 0} {
		tracer, ts, out := behind(sdktrace.NeverSample(), maxTraces)
		ctx, root := tracer.Start(t.Context(), "root")
		if failed {
			root.SetStatus(codes.Error, "")
		}
		root.End()
		_, after := tracer.Start(ctx, "after")
		after.End()
		if n := len(out.Ended()); n != want || ts.buffered() != 0 {
			t.Errorf("failed %v: %d spans, %d held", failed, n, ts.buffered())
		}
	}
}

// However many traces are open, the buffer is bounded, and every failure is exported.
func TestTailSamplerIsBounded(t *testing.T) {
	const limit = 64
	tracer, ts, out := behind(sdktrace.NeverSample(), limit)
	var open []trace.Span
	for range 20 * limit {
		ctx, root := tracer.Start(t.Context(), "root")
		_, child := tracer.Start(ctx, "child")
		child.End()
		open = append(open, root)
	}
	if n := ts.buffered(); n > limit {
		t.Errorf("%d traces are held", n)
	}
	for _, s := range open {
		s.SetStatus(codes.Error, "")
		s.End()
	}
	if n := len(out.Ended()); n < len(open) {
		t.Errorf("%d of %d failures were exported", n, len(open))
	}
	if ts.buffered() != 0 {
		t.Error("something is held")
	}

	// One trace with any number of spans, as a caller can make by always sending
	// the same traceparent.
	ctx, root := tracer.Start(t.Context(), "root")
	for range 10 * maxSpans {
		_, s := tracer.Start(ctx, "child")
		s.End()
	}
	if n := len(root.(*span).buffer.spans); n > maxSpans {
		t.Errorf("%d spans are held", n)
	}
	root.End()
}
