package telemetry

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Outcome is the result of a request, as the API reports it.
type Outcome struct {
	Route        string // pattern without its method; "" where no route matched
	Status       int    // that was sent; 0 if none was
	Class        string // failure class, "" when all went well
	Reason       string // why, where the class has more than one; a fixed word
	Stage        string // where the failure happened, or ""
	API          bool   // the request counts among those of the API
	Turn         bool   // the request asked for a turn
	Conversation string // id, or ""
	RequestID    string // at most 128 bytes of visible ASCII
	OwnerHash    string // as OwnerHash gives it, or ""
	Replayed     bool
	JoinedSpan   string // the traceparent of the request whose turn this one joined, or ""
	Restarted    bool
	AgentError   string // the platform's code, at most 64 letters, digits and underscores
}

// request is the context of a request, and is shared by the handler and Done.
type request struct {
	context.Context
	outcome Outcome
}

type requestKey struct{}

// Value implements context.Context.
func (r *request) Value(key any) any {
	if key == (requestKey{}) {
		return r
	}
	return r.Context.Value(key)
}

// Done is called by the API once for each request, with the request's context
// and before its handler returns.
func (t *Telemetry) Done(ctx context.Context, o Outcome) {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		r.outcome = o
	}
}

// Handler makes a SERVER span for each request that next answers. It takes the
// outcome from Done and not from the status, because the status does not show a
// stream that broke after its 200, a client that left, or a panic. A request whose
// handler never called Done counts as a panic.
func (t *Telemetry) Handler(next http.Handler) http.Handler {
	if t.off {
		return t.propagate(next)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		began := time.Now()
		s := t.startOf(hr)
		active := t.active.of(activeSet{s.method, s.scheme})
		active.Add(1)
		ctx, links := t.caller(hr)
		ctx, span := t.start(ctx, t.starts.of(s, t.address), links...)
		r := &request{Context: ctx, outcome: Outcome{Class: classPanic, Route: s.route, API: true}}
		inner := hr.WithContext(r)
		defer func() {
			o := &r.outcome
			t.describe(span, inner, s, o)
			errType := o.Class
			if errType == classCanceled {
				errType = ""
			}
			set := t.requestSets.of(requestSet{s.method, o.Route, s.scheme, errType, o.Status}, requestSet.attributes)
			ctx := measured(ctx, span, errType)
			t.requests.Record(ctx, time.Since(began).Seconds(), set.record...)
			if o.API {
				t.outcomes.Add(ctx, 1, t.outcomeSets.of(outcomeSet{s.method, o.Route, outcomeOf(o.Class)}, outcomeSet.attributes).add...)
			}
			if o.Turn {
				t.turns.Add(ctx, 1, t.turnSets.of(outcomeOf(o.Class), turnAttributes).add...)
			}
			active.Add(-1)
			span.End()
		}()
		next.ServeHTTP(w, inner)
	})
}

// caller returns the context in which the span of a request starts, in the caller's trace
// or in one of our own, and the link to the caller's then.
func (t *Telemetry) caller(hr *http.Request) (context.Context, []trace.SpanStartOption) {
	ctx := hr.Context()
	if t.trust == TrustNone {
		return ctx, nil
	}
	theirs := t.propagator.Extract(ctx, carrier(hr.Header))
	if t.trust == TrustParent {
		return theirs, nil
	}
	sc := trace.SpanContextFromContext(theirs)
	if !sc.IsRemote() {
		return ctx, nil
	}
	// Only the ids: a stranger's flags and tracestate must not reach an exporter.
	link := trace.NewSpanContext(trace.SpanContextConfig{TraceID: sc.TraceID(), SpanID: sc.SpanID(), Remote: true})
	return ctx, []trace.SpanStartOption{trace.WithLinks(trace.Link{SpanContext: link})}
}

// propagate only reads the trace context of a caller that is trusted, so that it
// reaches the agent.
func (t *Telemetry) propagate(next http.Handler) http.Handler {
	if t.trust != TrustParent {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ctx := t.propagator.Extract(r.Context(), carrier(r.Header)); ctx != r.Context() {
			r = r.WithContext(ctx)
		}
		next.ServeHTTP(w, r)
	})
}

// carrier is propagation.HeaderCarrier without the allocation for the canonical
// form of the two names that the propagator uses.
type carrier http.Header

// Get implements propagation.TextMapCarrier.
func (c carrier) Get(key string) string {
	if values := c[canonical(key)]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// Set implements propagation.TextMapCarrier.
func (c carrier) Set(key, value string) { c[canonical(key)] = []string{value} }

// Keys implements propagation.TextMapCarrier.
func (c carrier) Keys() []string { return slices.Collect(maps.Keys(c)) }

func canonical(key string) string {
	switch key {
	case "traceparent":
		return "Traceparent"
	case "tracestate":
		return "Tracestate"
	}
	return http.CanonicalHeaderKey(key)
}

// describe sets the attributes of the span that were not known at its start. The query,
// the client's address, its user agent and an unknown method are left out on purpose:
// they are personal data, or may hold secrets.
func (t *Telemetry) describe(span trace.Span, hr *http.Request, s requestStart, o *Outcome) {
	if !span.IsRecording() {
		return
	}
	lent := t.lists.lend()
	defer t.lists.takeBack(lent)
	list := append(lent[:0], keyOutcome.String(outcomeOf(o.Class)))
	if o.Status != 0 {
		list = append(list, keyStatus.Int(o.Status))
	}
	if o.Route != "" && o.Route != s.route {
		list = append(list, keyRoute.String(o.Route))
		span.SetName(s.name(o.Route))
	}
	if p := path(hr, o); p != s.path() {
		list = append(list, keyPath.String(p))
	}
	list = text(list, keyReason, o.Reason)
	list = text(list, keyStage, o.Stage)
	list = text(list, keyConversation, o.Conversation)
	list = text(list, keyAgentError, o.AgentError)
	list = text(list, keyRequestID, o.RequestID)
	list = text(list, keyOwnerHash, o.OwnerHash)
	if o.Replayed {
		list = append(list, keyReplayed.Bool(true))
	}
	if o.Restarted {
		list = append(list, keyRestarted.Bool(true))
	}
	span.SetAttributes(list...)
	if o.JoinedSpan != "" {
		t.link(span, o.JoinedSpan)
	}
	if o.Class != classCanceled {
		t.mark(span, o.Class)
	}
}

// link links the span of a request to that of another of this service. What asked the
// store and the agent for both is in the trace of the other.
func (t *Telemetry) link(span trace.Span, traceparent string) {
	ctx := t.propagator.Extract(context.Background(), propagation.MapCarrier{"traceparent": traceparent})
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		span.AddLink(trace.Link{SpanContext: sc})
	}
}

// redacted stands for a path that is not told. The word is the semantic conventions'.
const redacted = "REDACTED"

func outcomeOf(class string) string {
	if class == "" {
		return outcomeOK
	}
	return class
}

// path returns the part of the path that may be recorded. A path that matches no
// route, and a value in the place of an id, can be anything, such as an e-mail
// address or a token.
func path(hr *http.Request, o *Outcome) string {
	switch {
	case o.Route == "":
		return redacted
	case o.Conversation != "" && hr.PathValue("id") == o.Conversation:
		return hr.URL.Path
	}
	return o.Route
}

// protocol returns the version of HTTP without allocating.
func protocol(major, minor int) string {
	switch {
	case major == 2:
		return "2"
	case major == 1 && minor == 0:
		return "1.0"
	}
	return "1.1"
}

// otherMethod stands for all methods that are not well known. Callers can invent any
// number of them, and each would be a series.
const otherMethod = "_OTHER"

func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return m
	}
	return otherMethod
}

// requestSet are the attributes of a request's duration. The host is
// left out, because a caller could make series with it.
type requestSet struct {
	method, route, scheme, class string
	status                       int
}

func (s requestSet) attributes() []attribute.KeyValue {
	list := []attribute.KeyValue{keyMethod.String(s.method), keyScheme.String(s.scheme)}
	if s.status != 0 {
		list = append(list, keyStatus.Int(s.status))
	}
	return text(text(list, keyRoute, s.route), keyErrorType, s.class)
}

// outcomeSet are the attributes of a request in the count by outcome.
type outcomeSet struct{ method, route, outcome string }

func (s outcomeSet) attributes() []attribute.KeyValue {
	return text([]attribute.KeyValue{keyMethod.String(s.method), keyOutcome.String(s.outcome)}, keyRoute, s.route)
}

type activeSet struct{ method, scheme string }

func (s activeSet) attributes() []attribute.KeyValue {
	return []attribute.KeyValue{keyMethod.String(s.method), keyScheme.String(s.scheme)}
}
