package provider

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// newSpanExporter makes the exporter that the variables name.
func newSpanExporter(ctx context.Context, getenv func(string) string) (sdktrace.SpanExporter, error) {
	if name := getenv("OTEL_TRACES_EXPORTER"); name != "" && name != "otlp" {
		return autoexport.NewSpanExporter(ctx)
	}
	var client otlptrace.Client
	switch first(getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), getenv("OTEL_EXPORTER_OTLP_PROTOCOL")) {
	case "grpc":
		client = otlptracegrpc.NewClient()
	case "", "http/protobuf":
		client = otlptracehttp.NewClient()
	default:
		return nil, errors.New("OTEL_EXPORTER_OTLP_PROTOCOL is nothing known here")
	}
	return &spanExporter{client: client}, client.Start(ctx)
}

// spanExporter sends spans over OTLP. It differs from otlptrace.Exporter, whose clients it
// has, in that it fills the same messages again for every batch: that one makes some 150 new
// ones for each turn.
type spanExporter struct {
	client otlptrace.Client

	mu       sync.Mutex // one batch at a time
	messages spanMessages
	stop     sync.Once
}

var _ sdktrace.SpanExporter = (*spanExporter)(nil)

// ExportSpans implements sdktrace.SpanExporter. The clients keep no message when they
// return. What they send again they keep as bytes.
func (e *spanExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	defer e.messages.reset()
	if err := e.client.UploadTraces(ctx, []*tracepb.ResourceSpans{e.messages.of(spans)}); err != nil {
		return fmt.Errorf("traces export: %w", err)
	}
	return nil
}

// Shutdown implements sdktrace.SpanExporter.
func (e *spanExporter) Shutdown(ctx context.Context) (err error) {
	e.stop.Do(func() { err = e.client.Stop(ctx) })
	return err
}
