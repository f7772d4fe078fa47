package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// sent is a client that keeps what a collector would read of what it is to send.
type sent struct {
	batches []*tracepb.ResourceSpans
	starts  int
	stops   int
	err     error
}

func (c *sent) Start(context.Context) error { c.starts++; return nil }
func (c *sent) Stop(context.Context) error  { c.stops++; return nil }
func (c *sent) UploadTraces(_ context.Context, list []*tracepb.ResourceSpans) error {
	for _, r := range list {
		var read tracepb.ResourceSpans
		bytes, err := proto.Marshal(r)
		if err = errors.Join(err, proto.Unmarshal(bytes, &read)); err != nil {
			return err
		}
		c.batches = append(c.batches, &read)
	}
	return c.err
}

// batchOf makes spans of every form. No two batches are the same.
func batchOf(n int) []sdktrace.ReadOnlySpan {
	out := tracetest.NewSpanRecorder()
	p := &tracers{
		sampler: sdktrace.ParentBased(sdktrace.NeverSample()), tail: newTailSampler(out.OnEnd, maxTraces),
		resource: resource.NewWithAttributes("https://example.com/resource", attribute.String("service.name", "x"), attribute.Int("pid", 7)),
		limits:   limits{sdktrace.SpanLimits{AttributeValueLengthLimit: -1, AttributeCountLimit: 6, EventCountLimit: 2, LinkCountLimit: 2, AttributePerEventCountLimit: 1, AttributePerLinkCountLimit: 1}},
	}
	tracer := p.Tracer("scope", trace.WithInstrumentationVersion("1"), trace.WithSchemaURL("https://example.com/scope"), trace.WithInstrumentationAttributes(attribute.Bool("i", true)))
	link := trace.Link{SpanContext: trace.SpanContextFromContext(remote(0)), Attributes: []attribute.KeyValue{attribute.String("a", "1"), attribute.String("b", "2")}}
	ctx, root := tracer.Start(remote(trace.FlagsSampled), fmt.Sprint("root ", n), trace.WithSpanKind(trace.SpanKindServer), trace.WithLinks(link))
	for i, kind := range []trace.SpanKind{trace.SpanKindInternal, trace.SpanKindClient, trace.SpanKindProducer, trace.SpanKindConsumer, trace.SpanKindUnspecified} {
		_, s := tracer.Start(ctx, fmt.Sprint("child ", i), trace.WithSpanKind(kind))
		for k := range (n + 3*i) % 8 { // each time other kinds in the same place, and another number
			key := fmt.Sprint("key ", k)
			s.SetAttributes([]attribute.KeyValue{attribute.String(key, key), attribute.Int(key, k), attribute.Float64(key, 0.5), attribute.Bool(key, true)}[(n+k)%4])
		}
		for range (n + i) % 4 {
			s.AddEvent("event", trace.WithAttributes(attribute.Int("n", n), attribute.Int("m", n)))
			s.AddLink(link)
		}
		s.SetStatus(codes.Code((n+i)%3), "why")
		s.End()
	}
	root.End()
	_, alone := tracer.Start(context.Background(), "not sampled, failed")
	alone.SetStatus(codes.Error, "")
	alone.End()
	_, other := p.Tracer("another scope").Start(remote(trace.FlagsSampled), "of another scope")
	other.End()
	return out.Ended()
}

// What is sent is the same as the SDK's own exporter sends, batch after batch, although
// the bytes are written by hand and their memory is used again.
func TestSpansAreSentAsBySDK(t *testing.T) {
	var own, sdk sent
	ours, theirs := &spanExporter{client: &own}, otlptrace.NewUnstarted(&sdk)
	for n := range 20 {
		batch := batchOf(n)
		if err := errors.Join(ours.ExportSpans(t.Context(), batch), theirs.ExportSpans(t.Context(), batch)); err != nil {
			t.Fatal(err)
		}
	}
	if len(own.batches) != 20 || len(sdk.batches) != 20 {
		t.Fatalf("%d and %d batches", len(own.batches), len(sdk.batches))
	}
	for i := range own.batches {
		if !proto.Equal(own.batches[i], sdk.batches[i]) {
			t.Fatalf("batch %d is\n%s\nthe SDK's\n%s", i, protojson.Format(own.batches[i]), protojson.Format(sdk.batches[i]))
		}
	}
}

func TestSpanExporterEnds(t *testing.T) {
	client := &sent{err: errors.New("away")}
	e := &spanExporter{client: client}
	if err := e.ExportSpans(t.Context(), nil); err != nil || len(client.batches) != 0 {
		t.Errorf("%v, %d batches of nothing", err, len(client.batches))
	}
	if err := e.ExportSpans(t.Context(), batchOf(0)); !errors.Is(err, client.err) {
		t.Errorf("error %v", err)
	}
	if err := errors.Join(e.Shutdown(t.Context()), e.Shutdown(t.Context())); err != nil || client.stops != 1 {
		t.Errorf("%v, stopped %d times", err, client.stops)
	}
}

// No message is made for a span, and a large batch does not keep its memory for good.
func TestBatchIsWrittenInPlace(t *testing.T) {
	e := &spanExporter{client: nowhere{}}
	tracer, _, out := behind(sdktrace.AlwaysSample(), 1)
	request(tracer, 2)
	batch := slices.Repeat(out.Ended(), 100)
	if allocs := testing.AllocsPerRun(20, func() { _ = e.ExportSpans(context.Background(), batch) }); allocs > 10 {
		t.Errorf("%v allocations for %d spans", allocs, len(batch))
	}
	if cap(e.bytes) == 0 {
		t.Error("the usual batch keeps no memory")
	}
	large := slices.Repeat(batch, maxIdleBatch/cap(e.bytes)+2)
	if err := e.ExportSpans(t.Context(), large); err != nil || cap(e.bytes) > maxIdleBatch {
		t.Errorf("%v, %d bytes are kept after a large batch", err, cap(e.bytes))
	}
}

// One text that is no UTF-8 does not cost the spans beside it: a collector cannot read
// what has one.
func TestSpansAreTexts(t *testing.T) {
	var client sent
	out := tracetest.NewSpanRecorder()
	p := &tracers{sampler: sdktrace.AlwaysSample(), tail: newTailSampler(out.OnEnd, maxTraces), limits: limits{sdktrace.NewSpanLimits()}}
	_, s := p.Tracer("x").Start(t.Context(), "a\xff", trace.WithAttributes(attribute.String("b\xff", "c\xff")))
	s.End()
	if err := (&spanExporter{client: &client}).ExportSpans(t.Context(), out.Ended()); err != nil {
		t.Fatal(err)
	}
	read := client.batches[0].ScopeSpans[0].Spans[0]
	if a := read.Attributes[0]; read.Name != "a\uFFFD" || a.Key != "b\uFFFD" || a.Value.GetStringValue() != "c\uFFFD" {
		t.Errorf("%v", read)
	}
}

// Only what tracers made can be written.
func TestForeignSpansAreAnError(t *testing.T) {
	var client sent
	foreign := tracetest.SpanStubFromReadOnlySpan(batchOf(0)[0]).Snapshot()
	if err := (&spanExporter{client: &client}).ExportSpans(t.Context(), []sdktrace.ReadOnlySpan{foreign}); !errors.Is(err, errForeignSpan) || len(client.batches) != 0 {
		t.Errorf("%v, %d batches", err, len(client.batches))
	}
}

// nowhere sends nothing.
type nowhere struct{ otlptrace.Client }

func (nowhere) UploadTraces(context.Context, []*tracepb.ResourceSpans) error { return nil }
