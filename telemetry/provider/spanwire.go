package provider

import (
	"errors"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// The numbers of the fields of each message, as trace.proto, resource.proto and
// common.proto of OTLP 1 have them.
const (
	batchResource, batchScopeSpans, batchSchemaURL = 1, 2, 3

	resourceAttributes = 1

	scopeSpansScope, scopeSpansSpans, scopeSpansSchemaURL = 1, 2, 3

	scopeName, scopeVersion, scopeAttributes = 1, 2, 3

	spanTraceID, spanSpanID, spanTraceState, spanParentID = 1, 2, 3, 4
	spanName, spanKind, spanStart, spanEnd                = 5, 6, 7, 8
	spanAttributes, spanAttributesDropped                 = 9, 10
	spanEvent, spanEventsDropped                          = 11, 12
	spanLink, spanLinksDropped                            = 13, 14
	spanStatus, spanFlags                                 = 15, 16

	eventTime, eventName, eventAttributes, eventAttributesDropped = 1, 2, 3, 4

	linkTraceID, linkSpanID, linkAttributes, linkAttributesDropped, linkFlags = 1, 2, 4, 5, 6

	statusMessage, statusCode = 2, 3
)

// errForeignSpan says that a span is none that tracers made.
var errForeignSpan = errors.New("a span of another tracer")

// appendBatch appends the fields of a ResourceSpans message for a batch of spans, which
// are all of one resource. Spans of one scope are expected to be next to each other, as
// all of this service are.
func appendBatch(b []byte, batch []sdktrace.ReadOnlySpan) ([]byte, error) {
	var scope *tracer
	var spans int // where the message of the scope's spans begins
	for _, s := range batch {
		own, flags := recorded(s)
		if own == nil {
			return b, errForeignSpan
		}
		if scope != own.tracer {
			if scope == nil {
				b = appendResource(b, own.tracer.provider)
			} else {
				b = endMessage(b, spans)
			}
			scope = own.tracer
			b, spans = beginMessage(b, batchScopeSpans)
			b = appendScope(b, scope)
		}
		var at int
		b, at = beginMessage(b, scopeSpansSpans)
		b = endMessage(appendSpan(b, own, flags), at)
	}
	if scope != nil {
		b = endMessage(b, spans)
	}
	return b, nil
}

// recorded returns a span that has ended, which does not change any more, and the flags
// with which it is exported; nil if tracers did not make it.
func recorded(s sdktrace.ReadOnlySpan) (*span, trace.TraceFlags) {
	switch s := s.(type) {
	case *span:
		return s, s.context.TraceFlags()
	case sampledSpan:
		return s.span, s.SpanContext().TraceFlags()
	}
	return nil, 0
}

func appendResource(b []byte, p *tracers) []byte {
	b, at := beginMessage(b, batchResource)
	b = endMessage(appendAttributes(b, resourceAttributes, p.resource.Attributes()), at)
	return appendText(b, batchSchemaURL, p.resource.SchemaURL())
}

func appendScope(b []byte, t *tracer) []byte {
	b, at := beginMessage(b, scopeSpansScope)
	b = appendText(b, scopeName, t.scope.Name)
	b = appendText(b, scopeVersion, t.scope.Version)
	b = endMessage(appendAttributes(b, scopeAttributes, t.scope.Attributes.ToSlice()), at)
	return appendText(b, scopeSpansSchemaURL, t.scope.SchemaURL)
}

func appendSpan(b []byte, s *span, own trace.TraceFlags) []byte {
	traceID, spanID, parentID := s.context.TraceID(), s.context.SpanID(), s.parent.SpanID()
	b = appendID(b, spanTraceID, traceID[:])
	b = appendID(b, spanSpanID, spanID[:])
	b = appendText(b, spanTraceState, s.context.TraceState().String())
	if parentID.IsValid() {
		b = appendID(b, spanParentID, parentID[:])
	}
	b = appendText(b, spanName, s.name)
	b = appendNumber(b, spanKind, uint64(kindOf(s.kind))) //nolint:gosec // none is negative
	b = appendTime(b, spanStart, s.start)
	b = appendTime(b, spanEnd, s.end)
	b = appendAttributes(b, spanAttributes, s.attributes)
	b = appendAttributes(b, spanAttributes, s.later)
	b = appendNumber(b, spanAttributesDropped, count(s.dropped.attributes))
	for i := range s.events {
		b = appendEvent(b, &s.events[i])
	}
	b = appendNumber(b, spanEventsDropped, count(s.dropped.events))
	for i := range s.links {
		b = appendLink(b, &s.links[i])
	}
	b = appendNumber(b, spanLinksDropped, count(s.dropped.links))
	b, at := beginMessage(b, spanStatus)
	b = appendText(b, statusMessage, s.status.Description)
	b = endMessage(appendNumber(b, statusCode, uint64(statusOf(s.status.Code))), at) //nolint:gosec // none is negative
	return appendFlags(b, spanFlags, own, s.parent)
}

func appendEvent(b []byte, e *sdktrace.Event) []byte {
	b, at := beginMessage(b, spanEvent)
	b = appendTime(b, eventTime, e.Time)
	b = appendText(b, eventName, e.Name)
	b = appendAttributes(b, eventAttributes, e.Attributes)
	return endMessage(appendNumber(b, eventAttributesDropped, count(e.DroppedAttributeCount)), at)
}

func appendLink(b []byte, l *sdktrace.Link) []byte {
	traceID, spanID := l.SpanContext.TraceID(), l.SpanContext.SpanID()
	b, at := beginMessage(b, spanLink)
	b = appendID(b, linkTraceID, traceID[:])
	b = appendID(b, linkSpanID, spanID[:])
	b = appendAttributes(b, linkAttributes, l.Attributes)
	b = appendNumber(b, linkAttributesDropped, count(l.DroppedAttributeCount))
	return endMessage(appendFlags(b, linkFlags, l.SpanContext.TraceFlags(), l.SpanContext), at)
}

func kindOf(k trace.SpanKind) tracepb.Span_SpanKind {
	switch k {
	case trace.SpanKindInternal:
		return tracepb.Span_SPAN_KIND_INTERNAL
	case trace.SpanKindServer:
		return tracepb.Span_SPAN_KIND_SERVER
	case trace.SpanKindClient:
		return tracepb.Span_SPAN_KIND_CLIENT
	case trace.SpanKindProducer:
		return tracepb.Span_SPAN_KIND_PRODUCER
	case trace.SpanKindConsumer:
		return tracepb.Span_SPAN_KIND_CONSUMER
	case trace.SpanKindUnspecified:
	}
	return tracepb.Span_SPAN_KIND_UNSPECIFIED
}

func statusOf(c codes.Code) tracepb.Status_StatusCode {
	switch c {
	case codes.Ok:
		return tracepb.Status_STATUS_CODE_OK
	case codes.Error:
		return tracepb.Status_STATUS_CODE_ERROR
	case codes.Unset:
	}
	return tracepb.Status_STATUS_CODE_UNSET
}
