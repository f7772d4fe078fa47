package provider

import (
	"math"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// spanMessages are the messages of OTLP for a batch of spans, which are all of one
// resource. They are filled again for the next batch. Its zero value is ready to use.
type spanMessages struct {
	spans      slab[spanMessage]
	events     slab[eventMessage]
	links      slab[linkMessage]
	attributes slab[attributeMessage]
}

// maxIdleMessages is the most messages of a kind that are kept between batches: a few of
// the usual size, of 512 spans.
const maxIdleMessages = 16 << 10

// reset lets all messages be filled again.
func (m *spanMessages) reset() {
	m.spans.reset()
	m.events.reset()
	m.links.reset()
	m.attributes.reset()
}

// slab hands out the same values again after a reset. They stay where they are.
type slab[T any] struct {
	chunks [][]T
	used   int
}

const slabChunk = 256

func (s *slab[T]) next() *T {
	if s.used == len(s.chunks)*slabChunk {
		s.chunks = append(s.chunks, make([]T, slabChunk))
	}
	v := &s.chunks[s.used/slabChunk][s.used%slabChunk]
	s.used++
	return v
}

func (s *slab[T]) reset() {
	if s.used > maxIdleMessages {
		s.chunks = nil
	}
	s.used = 0
}

// spanMessage is the message of a span with all that has one place in it.
type spanMessage struct {
	tracepb.Span
	status     tracepb.Status
	ids        [16 + 8 + 8]byte
	attributes []*commonpb.KeyValue
	events     []*tracepb.Span_Event
	links      []*tracepb.Span_Link
}

type eventMessage struct {
	tracepb.Span_Event
	attributes []*commonpb.KeyValue
}

type linkMessage struct {
	tracepb.Span_Link
	ids        [16 + 8]byte
	attributes []*commonpb.KeyValue
}

// attributeMessage has room for a value of every kind, of which one is used.
type attributeMessage struct {
	commonpb.KeyValue
	value  commonpb.AnyValue
	text   commonpb.AnyValue_StringValue
	number commonpb.AnyValue_IntValue
	float  commonpb.AnyValue_DoubleValue
	truth  commonpb.AnyValue_BoolValue
}

// of gives the message of a batch, which has one span at least. Spans of one scope are
// expected to be next to each other, as all of this service are.
func (m *spanMessages) of(batch []sdktrace.ReadOnlySpan) *tracepb.ResourceSpans {
	of := batch[0].Resource()
	res := &tracepb.ResourceSpans{Resource: &resourcepb.Resource{Attributes: m.list(nil, of.Attributes())}, SchemaUrl: of.SchemaURL()}
	var scope instrumentation.Scope
	var spans *tracepb.ScopeSpans
	for _, s := range batch {
		if next := s.InstrumentationScope(); spans == nil || next != scope {
			scope = next
			spans = &tracepb.ScopeSpans{
				Scope:     &commonpb.InstrumentationScope{Name: scope.Name, Version: scope.Version, Attributes: m.list(nil, scope.Attributes.ToSlice())},
				SchemaUrl: scope.SchemaURL, Spans: make([]*tracepb.Span, 0, len(batch)),
			}
			res.ScopeSpans = append(res.ScopeSpans, spans)
		}
		spans.Spans = append(spans.Spans, m.span(s))
	}
	return res
}

func (m *spanMessages) span(s sdktrace.ReadOnlySpan) *tracepb.Span {
	sc, parent, status := s.SpanContext(), s.Parent(), s.Status()
	to := m.spans.next()
	traceID, spanID, parentID := sc.TraceID(), sc.SpanID(), parent.SpanID()
	to.TraceId = append(to.ids[:0], traceID[:]...)
	to.SpanId = append(to.ids[16:16], spanID[:]...)
	to.ParentSpanId = nil
	if parentID.IsValid() {
		to.ParentSpanId = append(to.ids[24:24], parentID[:]...)
	}
	to.TraceState, to.Flags = sc.TraceState().String(), flags(sc.TraceFlags(), parent)
	to.Name, to.Kind = s.Name(), kinds[s.SpanKind()]
	to.StartTimeUnixNano, to.EndTimeUnixNano = nanoseconds(s.StartTime()), nanoseconds(s.EndTime())
	if own, ok := s.(interface {
		recorded() (_, _ []attribute.KeyValue)
	}); ok {
		first, later := own.recorded()
		to.attributes = m.list(m.list(to.attributes[:0], first), later)
	} else {
		to.attributes = m.list(to.attributes[:0], s.Attributes())
	}
	to.Attributes, to.DroppedAttributesCount = to.attributes, count(s.DroppedAttributes())
	to.events = to.events[:0]
	for _, e := range s.Events() {
		to.events = append(to.events, m.event(e))
	}
	to.Events, to.DroppedEventsCount = to.events, count(s.DroppedEvents())
	to.links = to.links[:0]
	for _, l := range s.Links() {
		to.links = append(to.links, m.link(l))
	}
	to.Links, to.DroppedLinksCount = to.links, count(s.DroppedLinks())
	to.status.Code, to.status.Message = statuses[status.Code], status.Description
	to.Status = &to.status
	return &to.Span
}

func (m *spanMessages) event(e sdktrace.Event) *tracepb.Span_Event {
	to := m.events.next()
	to.Name, to.TimeUnixNano = e.Name, nanoseconds(e.Time)
	to.attributes = m.list(to.attributes[:0], e.Attributes)
	to.Attributes, to.DroppedAttributesCount = to.attributes, count(e.DroppedAttributeCount)
	return &to.Span_Event
}

func (m *spanMessages) link(l sdktrace.Link) *tracepb.Span_Link {
	to := m.links.next()
	traceID, spanID := l.SpanContext.TraceID(), l.SpanContext.SpanID()
	to.TraceId = append(to.ids[:0], traceID[:]...)
	to.SpanId = append(to.ids[16:16], spanID[:]...)
	to.Flags = flags(l.SpanContext.TraceFlags(), l.SpanContext)
	to.attributes = m.list(to.attributes[:0], l.Attributes)
	to.Attributes, to.DroppedAttributesCount = to.attributes, count(l.DroppedAttributeCount)
	return &to.Span_Link
}

// list appends the messages of attributes.
func (m *spanMessages) list(to []*commonpb.KeyValue, from []attribute.KeyValue) []*commonpb.KeyValue {
	for _, a := range from {
		to = append(to, m.attribute(a))
	}
	return to
}

func (m *spanMessages) attribute(a attribute.KeyValue) *commonpb.KeyValue {
	to := m.attributes.next()
	to.Key, to.Value = string(a.Key), &to.value
	switch a.Value.Type() {
	case attribute.INT64:
		to.number.IntValue = a.Value.AsInt64()
		to.value.Value = &to.number
	case attribute.FLOAT64:
		to.float.DoubleValue = a.Value.AsFloat64()
		to.value.Value = &to.float
	case attribute.BOOL:
		to.truth.BoolValue = a.Value.AsBool()
		to.value.Value = &to.truth
	default: // nothing here has lists or maps; see limits
		to.text.StringValue = a.Value.String()
		to.value.Value = &to.text
	}
	return &to.KeyValue
}

var kinds = map[trace.SpanKind]tracepb.Span_SpanKind{
	trace.SpanKindInternal: tracepb.Span_SPAN_KIND_INTERNAL, trace.SpanKindServer: tracepb.Span_SPAN_KIND_SERVER, trace.SpanKindClient: tracepb.Span_SPAN_KIND_CLIENT,
	trace.SpanKindProducer: tracepb.Span_SPAN_KIND_PRODUCER, trace.SpanKindConsumer: tracepb.Span_SPAN_KIND_CONSUMER,
}

var statuses = map[codes.Code]tracepb.Status_StatusCode{codes.Ok: tracepb.Status_STATUS_CODE_OK, codes.Error: tracepb.Status_STATUS_CODE_ERROR}

// flags are those of a span or a link, and say whether what it is below is of another process.
func flags(own trace.TraceFlags, parent trace.SpanContext) uint32 {
	f := uint32(own) | uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK)
	if parent.IsRemote() {
		f |= uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK)
	}
	return f
}

func nanoseconds(t time.Time) uint64 { return uint64(max(0, t.UnixNano())) }

func count(n int) uint32 { return uint32(min(max(0, n), math.MaxUint32)) }
