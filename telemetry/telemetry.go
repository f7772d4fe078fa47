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
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"go.opentelemetry.io/otel/attribute"
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
	// OwnerKey is the key of the hash by which an owner appears on spans. Without
	// it owners do not appear. All replicas must use the same key.
	OwnerKey []byte
}

// Telemetry is safe for use from many goroutines.
type Telemetry struct {
	tracer     trace.Tracer
	meter      metric.Meter
	propagator propagation.TraceContext
	class      func(error) string
	failed     map[string]bool // by class: whether a span gets the status Error
	ownerKey   []byte
	off        bool // nothing is recorded; only the caller's trace context is propagated

	instruments
}

// New makes a Telemetry. It fails when Class or Classes are missing, or when an
// instrument cannot be created.
func New(o Options) (*Telemetry, error) {
	if o.Class == nil || len(o.Classes) == 0 {
		return nil, errors.New("telemetry: Class and Classes are missing")
	}
	off := o.Tracers == nil && o.Meters == nil
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
		off:      off,
	}
	for _, c := range o.Classes {
		t.failed[c.Name] = c.SpanError
	}
	if err := t.open(t.meter); err != nil {
		return nil, err
	}
	t.countFromZero(o.Classes)
	return t, nil
}

// TraceID returns the id of the trace that ctx belongs to, "" if there is none.
func (t *Telemetry) TraceID(ctx context.Context) string {
	if id := trace.SpanContextFromContext(ctx).TraceID(); id.IsValid() {
		return id.String()
	}
	return ""
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

// ownerHash returns the keyed hash of an owner, which does not reveal who it is.
func (t *Telemetry) ownerHash(o store.Owner) (attribute.KeyValue, bool) {
	if len(t.ownerKey) == 0 || o == (store.Owner{}) {
		return attribute.KeyValue{}, false
	}
	mac := hmac.New(sha256.New, t.ownerKey)
	mac.Write([]byte(o.Tenant + "\x00" + o.User))
	return keyOwnerHash.String(hex.EncodeToString(mac.Sum(nil)[:8])), true
}
