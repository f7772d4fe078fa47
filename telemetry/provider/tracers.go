package provider

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// tracers makes spans in place of the SDK's tracer. Every span is recorded, also those
// of traces that are not sampled, in case that a failure follows. So what recording takes
// is taken by every request, and the SDK's spans take three times as much memory: each
// attribute is copied up to four times, and the whole span once more when it ends. What
// comes after is the SDK's: samplers, limits, the queue, the exporters. To them a span that
// has ended is a sdktrace.ReadOnlySpan like any other.
type tracers struct {
	noop.TracerProvider // for what the interface may get in later versions

	sampler  sdktrace.Sampler
	tail     *tailSampler
	resource *resource.Resource
	limits   limits
}

var _ trace.TracerProvider = (*tracers)(nil)

// Tracer implements trace.TracerProvider.
func (p *tracers) Tracer(name string, options ...trace.TracerOption) trace.Tracer {
	c := trace.NewTracerConfig(options...)
	return &tracer{provider: p, scope: instrumentation.Scope{
		Name: name, Version: c.InstrumentationVersion(), SchemaURL: c.SchemaURL(), Attributes: c.InstrumentationAttributes(),
	}}
}

type tracer struct {
	noop.Tracer

	provider *tracers
	scope    instrumentation.Scope
}

// Start implements trace.Tracer.
func (t *tracer) Start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	config := trace.NewSpanStartConfig(options...)
	return t.StartConfigured(ctx, name, &config)
}

// StartConfigured implements telemetry.ConfiguredTracer: the configuration is shared by
// any number of spans.
func (t *tracer) StartConfigured(ctx context.Context, name string, config *trace.SpanConfig) (context.Context, trace.Span) {
	above := trace.SpanFromContext(ctx)
	local, _ := above.(*span)
	if local != nil {
		local.addChild()
	}
	if config.NewRoot() {
		ctx = trace.ContextWithSpanContext(ctx, trace.SpanContext{})
		above, local = trace.SpanFromContext(ctx), nil
	}
	s := &span{
		tracer: t, parent: above.SpanContext(), name: name, kind: trace.ValidateSpanKind(config.SpanKind()), start: config.Timestamp(),
	}
	if s.start.IsZero() {
		s.start = time.Now()
	}
	id := s.parent.TraceID()
	if !id.IsValid() {
		id = newTraceID()
	}
	decided := t.provider.sampler.ShouldSample(sdktrace.SamplingParameters{
		ParentContext: ctx, TraceID: id, Name: name, Kind: config.SpanKind(), Attributes: config.Attributes(), Links: config.Links(),
	})
	sampled := decided.Decision == sdktrace.RecordAndSample
	s.context = trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: id, SpanID: newSpanID(), TraceFlags: s.parent.TraceFlags().WithSampled(sampled), TraceState: decided.Tracestate,
	})
	s.SetAttributes(decided.Attributes...)
	if s.attributes == nil && t.provider.limits.allow(config.Attributes()) {
		s.attributes = config.Attributes()
	} else {
		s.SetAttributes(config.Attributes()...)
	}
	for _, l := range config.Links() {
		s.AddLink(l)
	}
	if !sampled {
		s.buffer = t.provider.tail.begin(local, s.parent)
	}
	return trace.ContextWithSpan(ctx, s), s
}

func newTraceID() (id trace.TraceID) {
	for !id.IsValid() {
		binary.NativeEndian.PutUint64(id[:8], rand.Uint64()) //nolint:gosec // ids must be unique, not secret
		binary.NativeEndian.PutUint64(id[8:], rand.Uint64()) //nolint:gosec // likewise
	}
	return id
}

func newSpanID() (id trace.SpanID) {
	for !id.IsValid() {
		binary.NativeEndian.PutUint64(id[:], rand.Uint64()) //nolint:gosec // likewise
	}
	return id
}
