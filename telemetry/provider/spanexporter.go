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
// has, in that it writes the bytes of a batch itself: that one makes some 150 messages for
// each turn, which are then encoded with the help of reflection.
type spanExporter struct {
	client otlptrace.Client

	mu    sync.Mutex // one batch at a time
	bytes []byte
	stop  sync.Once
}

// maxIdleBatch is the most memory, in bytes, that is kept between batches: a few of the
// usual size, of 512 spans.
const maxIdleBatch = 1 << 20

var _ sdktrace.SpanExporter = (*spanExporter)(nil)

// ExportSpans implements sdktrace.SpanExporter. The clients take messages, so they get one
// whose fields are all unknown to it: protobuf writes those as they are. They keep no
// message when they return. What they send again they keep as bytes of their own.
func (e *spanExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	batch, err := appendBatch(e.bytes[:0], spans)
	if err == nil {
		var message tracepb.ResourceSpans
		message.ProtoReflect().SetUnknown(batch)
		err = e.client.UploadTraces(ctx, []*tracepb.ResourceSpans{&message})
	}
	if e.bytes = batch; cap(batch) > maxIdleBatch {
		e.bytes = nil
	}
	if err != nil {
		return fmt.Errorf("traces export: %w", err)
	}
	return nil
}

// Shutdown implements sdktrace.SpanExporter.
func (e *spanExporter) Shutdown(ctx context.Context) (err error) {
	e.stop.Do(func() { err = e.client.Stop(ctx) })
	return err
}
