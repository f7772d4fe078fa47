package provider

import (
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// span is a trace.Span until it ends, and from then on a sdktrace.ReadOnlySpan. Both are as
// the SDK's are, but for RecordError, which does nothing: the text of an error may be a
// user's, and the conventions want errors in logs.
type span struct {
	noop.Span
	sdktrace.ReadOnlySpan // nil: only its methods outside of this package are wanted

	tracer  *tracer
	buffer  *traceBuffer // of its trace, if that is not sampled; or nil
	context trace.SpanContext
	parent  trace.SpanContext
	kind    trace.SpanKind
	start   time.Time

	mu         sync.Mutex
	end        time.Time // zero until it ends; nothing changes afterwards
	name       string
	status     sdktrace.Status
	attributes []attribute.KeyValue // that it started with, as others did: they are not changed in place
	later      []attribute.KeyValue // that it got since; no key is in both, or twice
	events     []sdktrace.Event
	links      []sdktrace.Link
	children   int
	dropped    struct{ attributes, events, links int } // because of limits
}

var _ sdktrace.ReadWriteSpan = (*span)(nil)

// SpanContext implements trace.Span.
func (s *span) SpanContext() trace.SpanContext { return s.context }

// TracerProvider implements trace.Span.
func (s *span) TracerProvider() trace.TracerProvider { return s.tracer.provider }

// IsRecording implements trace.Span.
func (s *span) IsRecording() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end.IsZero()
}

// SetStatus implements trace.Span.
func (s *span) SetStatus(code codes.Code, description string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.end.IsZero() || s.status.Code > code {
		return
	}
	if code != codes.Error {
		description = ""
	}
	s.status = sdktrace.Status{Code: code, Description: description}
}

// SetName implements trace.Span.
func (s *span) SetName(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end.IsZero() {
		s.name = name
	}
}

// SetAttributes implements trace.Span.
func (s *span) SetAttributes(list ...attribute.KeyValue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.end.IsZero() || len(list) == 0 {
		return
	}
	limits := &s.tracer.provider.limits
	if s.later == nil && limits.AttributeCountLimit != 0 {
		s.later = make([]attribute.KeyValue, 0, len(list)) // most spans get attributes once more
	}
	for _, a := range list {
		if !a.Valid() {
			s.dropped.attributes++
			continue
		}
		a = shortened(a, limits.AttributeValueLengthLimit)
		if i := indexOf(s.later, a.Key); i >= 0 {
			s.later[i] = a
		} else if i := indexOf(s.attributes, a.Key); i >= 0 {
			s.attributes = slices.Clone(s.attributes)
			s.attributes[i] = a
		} else if limits.AttributeCountLimit >= 0 && len(s.attributes)+len(s.later) >= limits.AttributeCountLimit {
			s.dropped.attributes++
		} else {
			s.later = append(s.later, a)
		}
	}
}

// indexOf is where an attribute is in a list; -1 if it is not.
func indexOf(list []attribute.KeyValue, key attribute.Key) int {
	for i := range list {
		if list[i].Key == key {
			return i
		}
	}
	return -1
}

// spanEvents is how many events a span has that has any.
const spanEvents = 2

// AddEvent implements trace.Span.
func (s *span) AddEvent(name string, options ...trace.EventOption) {
	c := trace.NewEventConfig(options...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.end.IsZero() {
		return
	}
	limits := &s.tracer.provider.limits
	e := sdktrace.Event{Name: name, Time: c.Timestamp()}
	e.Attributes, e.DroppedAttributeCount = limited(c.Attributes(), limits.AttributePerEventCountLimit)
	if s.events == nil && limits.EventCountLimit != 0 {
		s.events = make([]sdktrace.Event, 0, spanEvents)
	}
	s.events, s.dropped.events = appended(s.events, e, limits.EventCountLimit, s.dropped.events)
}

// AddLink implements trace.Span.
func (s *span) AddLink(link trace.Link) {
	if !link.SpanContext.IsValid() && len(link.Attributes) == 0 && link.SpanContext.TraceState().Len() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.end.IsZero() {
		return
	}
	limits := &s.tracer.provider.limits
	l := sdktrace.Link{SpanContext: link.SpanContext}
	l.Attributes, l.DroppedAttributeCount = limited(link.Attributes, limits.AttributePerLinkCountLimit)
	s.links, s.dropped.links = appended(s.links, l, limits.LinkCountLimit, s.dropped.links)
}

// End implements trace.Span.
func (s *span) End(options ...trace.SpanEndOption) {
	c := trace.NewSpanEndConfig(options...)
	end := c.Timestamp()
	if end.IsZero() {
		end = s.start.Add(time.Since(s.start)) // by the monotonic clock
	}
	s.mu.Lock()
	ended := !s.end.IsZero()
	if !ended {
		s.end = end
	}
	s.mu.Unlock()
	if !ended {
		s.tracer.provider.tail.end(s)
	}
}

// addChild counts a span below this one.
func (s *span) addChild() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end.IsZero() {
		s.children++
	}
}

// failed reports whether a span that has ended has an error.type or the status Error.
func (s *span) failed() bool {
	return s.status.Code == codes.Error || indexOf(s.later, semconv.ErrorTypeKey) >= 0 || indexOf(s.attributes, semconv.ErrorTypeKey) >= 0
}

// The rest is sdktrace.ReadOnlySpan.

// Name implements sdktrace.ReadOnlySpan.
func (s *span) Name() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.name
}

// Parent implements sdktrace.ReadOnlySpan.
func (s *span) Parent() trace.SpanContext { return s.parent }

// SpanKind implements sdktrace.ReadOnlySpan.
func (s *span) SpanKind() trace.SpanKind { return s.kind }

// StartTime implements sdktrace.ReadOnlySpan.
func (s *span) StartTime() time.Time { return s.start }

// EndTime implements sdktrace.ReadOnlySpan.
func (s *span) EndTime() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

// Attributes implements sdktrace.ReadOnlySpan.
func (s *span) Attributes() []attribute.KeyValue {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Concat(s.attributes, s.later)
}

// Links implements sdktrace.ReadOnlySpan.
func (s *span) Links() []sdktrace.Link {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end.IsZero() {
		return slices.Clone(s.links)
	}
	return s.links
}

// Events implements sdktrace.ReadOnlySpan.
func (s *span) Events() []sdktrace.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end.IsZero() {
		return slices.Clone(s.events)
	}
	return s.events
}

// Status implements sdktrace.ReadOnlySpan.
func (s *span) Status() sdktrace.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// InstrumentationScope implements sdktrace.ReadOnlySpan.
func (s *span) InstrumentationScope() instrumentation.Scope { return s.tracer.scope }

// InstrumentationLibrary implements sdktrace.ReadOnlySpan.
func (s *span) InstrumentationLibrary() instrumentation.Library { //nolint:staticcheck // the interface has it
	return s.tracer.scope
}

// Resource implements sdktrace.ReadOnlySpan.
func (s *span) Resource() *resource.Resource { return s.tracer.provider.resource }

// DroppedAttributes implements sdktrace.ReadOnlySpan.
func (s *span) DroppedAttributes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped.attributes
}

// DroppedLinks implements sdktrace.ReadOnlySpan.
func (s *span) DroppedLinks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped.links
}

// DroppedEvents implements sdktrace.ReadOnlySpan.
func (s *span) DroppedEvents() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped.events
}

// ChildSpanCount implements sdktrace.ReadOnlySpan.
func (s *span) ChildSpanCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.children
}
