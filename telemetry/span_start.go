package telemetry

import (
	"context"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// ConfiguredTracer is what a tracer may be as well: one that starts spans of which nearly
// everything is known before. To read the options each time, and to copy the attributes
// that are in them, takes half of what it takes to start a span.
type ConfiguredTracer interface {
	// StartConfigured is Start with what its options come to. Neither c nor its
	// attributes may be changed by anybody.
	StartConfigured(ctx context.Context, name string, c *trace.SpanConfig) (context.Context, trace.Span)
}

// spanStart is how spans of a kind start. It does not change.
type spanStart struct {
	name    string
	options []trace.SpanStartOption
	config  trace.SpanConfig // what the options come to
}

func newSpanStart(name string, kind trace.SpanKind, attrs []attribute.KeyValue) *spanStart {
	options := []trace.SpanStartOption{trace.WithSpanKind(kind), trace.WithAttributes(attrs...)}
	return &spanStart{name, options, trace.NewSpanStartConfig(options...)}
}

// start starts a span of a kind, with other options if it has any.
func (t *Telemetry) start(ctx context.Context, s *spanStart, also ...trace.SpanStartOption) (context.Context, trace.Span) {
	if len(also) > 0 {
		return t.tracer.Start(ctx, s.name, slices.Concat(s.options, also)...) //nolint:spancheck // the caller ends it
	}
	if t.configured != nil {
		return t.configured.StartConfigured(ctx, s.name, &s.config)
	}
	return t.tracer.Start(ctx, s.name, s.options...) //nolint:spancheck // the caller ends it
}
