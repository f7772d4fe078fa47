// Package telemetry observes the service from outside: a handler around the
// HTTP API, decorators around the store and the agent, a transport under the
// agent's client. It knows the OpenTelemetry API only; package provider beside
// it has the SDK and the exporters.
//
// All names of spans, metrics and attributes are in names.go. Nothing that a user
// or an agent wrote becomes part of a span or a metric: no text, no card data, no
// key, no token, no query of a URL. An owner appears as a keyed hash.
package telemetry

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"parley/store"
)

// Class is what telemetry needs to know about a failure class.
type Class struct {
	Name      string
	SpanError bool // whether spans that end with it get the status Error
}

// Route is a route of the API: a method, and a pattern without it.
type Route struct{ Method, Pattern string }

// Options configure a Telemetry. Class and Classes are required.
type Options struct {
	Tracers trace.TracerProvider // nil for none
	Meters  metric.MeterProvider // nil for none
	Version string               // of the service
	// Class returns the failure class of an error, "" for nil. It is the same
	// function that log lines and answers use, so all of them agree.
	Class func(error) string
	// Classes are all classes that Class may return.
	Classes []Class
	// Address is the name or address by which this server is known, as its configuration
	// says; "" for none.
	Address string
	// Patterns are the paths that the API has routes for, with wildcards such as {id}.
	Patterns []string
	// Routes are the routes of the API. Their requests are counted from zero, for every
	// outcome.
	Routes []Route
	// OwnerKey is the key of the hash by which an owner appears on spans and in the
	// log. Without it owners do not appear. All replicas must use the same key.
	OwnerKey []byte
	// NoPropagation has trace contexts neither read nor sent.
	NoPropagation bool
	// Trust says what the trace context of a request is taken for; "" is TrustLink.
	Trust Trust
}

// Trust is what the trace context that a caller sends is taken for.
type Trust string

const (
	// TrustLink begins a trace of our own for every request and links it to the
	// caller's. Of the caller's context only the two ids are kept: its flags and its
	// tracestate decide nothing here, and are not passed on.
	TrustLink Trust = "link"
	// TrustParent goes on with the caller's trace, heeds its sampling and passes its
	// tracestate on to the agent. For callers of our own.
	TrustParent Trust = "parent"
	// TrustNone begins a trace of our own and does not look at the caller's.
	TrustNone Trust = "none"
)

// Telemetry is safe for use from many goroutines.
type Telemetry struct {
	tracer     trace.Tracer
	configured ConfiguredTracer // the tracer, if it is one; else nil
	meter      metric.Meter
	propagator propagation.TraceContext
	class      func(error) string
	failed     map[string]bool // by class: whether a span gets the status Error
	ownerKey   []byte
	trust      Trust
	address    string
	patterns   patterns
	starts     starts
	lists      lists
	silent     bool // no trace context is sent
	off        bool // nothing is recorded; only a trusted caller's trace context is propagated

	instruments
}

// New makes a Telemetry. It fails when Class or Classes are missing, or when an
// instrument cannot be created.
func New(o Options) (*Telemetry, error) {
	if o.Class == nil || len(o.Classes) == 0 {
		return nil, errors.New("telemetry: Class and Classes are missing")
	}
	off := o.Tracers == nil && o.Meters == nil
	if o.NoPropagation {
		o.Trust = TrustNone
	}
	if o.Tracers == nil {
		o.Tracers = tracenoop.NewTracerProvider()
	}
	if o.Meters == nil {
		o.Meters = metricnoop.NewMeterProvider()
	}
	t := &Telemetry{
		tracer:   o.Tracers.Tracer(Scope, trace.WithInstrumentationVersion(o.Version), trace.WithSchemaURL(SchemaURL)),
		meter:    o.Meters.Meter(Scope, metric.WithInstrumentationVersion(o.Version), metric.WithSchemaURL(SchemaURL)),
		class:    o.Class,
		failed:   map[string]bool{},
		ownerKey: o.OwnerKey,
		trust:    cmp.Or(o.Trust, TrustLink),
		address:  o.Address,
		patterns: patternsOf(o.Patterns),
		silent:   o.NoPropagation,
		off:      off,
	}
	t.configured, _ = t.tracer.(ConfiguredTracer)
	for _, c := range o.Classes {
		t.failed[c.Name] = c.SpanError
	}
	if err := t.open(t.meter); err != nil {
		return nil, err
	}
	t.countFromZero(o.Classes, o.Routes)
	return t, nil
}

// Off reports whether nothing is recorded.
func (t *Telemetry) Off() bool { return t.off }

// Traceparent returns the span of ctx as a traceparent of the W3C trace context,
// version 00, and "" if there is none.
func (t *Telemetry) Traceparent(ctx context.Context) string {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() {
		return ""
	}
	id, span := sc.TraceID(), sc.SpanID()
	b := make([]byte, 0, len("00-")+2*len(id)+len("-")+2*len(span)+len("-00"))
	b = hex.AppendEncode(append(b, "00-"...), id[:])
	b = hex.AppendEncode(append(b, '-'), span[:])
	b = hex.AppendEncode(append(b, '-'), []byte{byte(sc.TraceFlags() & trace.FlagsSampled)})
	return string(b)
}

// callResult says what a class means for a call of the store or of the agent. A
// failure is the error.type of the call. Anything else is an outcome that the
// caller brought about (no such conversation, another turn runs, the client left):
// the system that was called did its work, so its spans and metrics must not show
// an error.
func (t *Telemetry) callResult(class string) (errorType, outcome string) {
	if failed, known := t.failed[class]; known && !failed {
		return "", class
	}
	return class, ""
}

// markCall sets the result of a span of the store or of the agent.
func (t *Telemetry) markCall(span trace.Span, class string) {
	errorType, outcome := t.callResult(class)
	t.mark(span, errorType)
	if outcome != "" {
		span.SetAttributes(keyOutcome.String(outcome))
	}
}

// mark sets the error.type of a span, and its status to Error if the table of
// failures says so for that class.
func (t *Telemetry) mark(span trace.Span, class string) {
	if class == "" {
		return
	}
	span.SetAttributes(keyErrorType.String(class))
	if t.failed[class] {
		span.SetStatus(failedStatus, "")
	}
}

// OwnerHash returns the keyed hash of an owner, which does not reveal who it is: 16
// hexadecimal digits, or "" without Options.OwnerKey.
func (t *Telemetry) OwnerHash(o store.Owner) string {
	if len(t.ownerKey) == 0 {
		return ""
	}
	mac := hmac.New(sha256.New, t.ownerKey)
	mac.Write([]byte(o.Tenant + "\x00" + o.User))
	return hex.EncodeToString(mac.Sum(nil)[:8])
}
