package telemetry_test

import (
	"errors"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"parley/contracttest"
	"parley/server/copilot"
	"parley/store"
	"parley/store/memory"
	"parley/telemetry"
)

// lab is a Telemetry that keeps its spans and metrics for a test.
type lab struct {
	*telemetry.Telemetry
	spans   *tracetest.SpanRecorder
	metrics *sdkmetric.ManualReader
}

// class is a table of failures for these tests. The real one is the server's,
// which this package does not know.
func class(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, store.ErrNotFound):
		return "not_found"
	case errors.Is(err, store.ErrUnreachable):
		return "store_unreachable"
	case errors.Is(err, store.ErrTimeout):
		return "store_timeout"
	case errors.Is(err, store.ErrFull):
		return "store_full"
	case errors.Is(err, store.ErrOverloaded):
		return "overloaded"
	case errors.Is(err, copilot.ErrTimeout):
		return "upstream_timeout"
	case errors.Is(err, errLeft):
		return "client_canceled"
	}
	return "internal"
}

var errLeft = errors.New("the client left")

func newLab(t testing.TB) *lab {
	t.Helper()
	l := &lab{spans: tracetest.NewSpanRecorder(), metrics: sdkmetric.NewManualReader()}
	tel, err := telemetry.New(telemetry.Options{
		Tracers: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(l.spans)),
		Meters:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(l.metrics)),
		Class:   class,
		Classes: []telemetry.Class{
			{Name: "not_found"},
			{Name: "client_canceled"},
			{Name: "overloaded"},
			{Name: "store_unreachable", SpanError: true},
			{Name: "store_timeout", SpanError: true},
			{Name: "store_full", SpanError: true},
			{Name: "upstream_timeout", SpanError: true},
			{Name: "internal", SpanError: true},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	l.Telemetry = tel
	return l
}

// measured counts the measurements of a histogram.
func (l *lab) measured(t *testing.T, name string) uint64 {
	t.Helper()
	n, _ := l.total(t, name)
	return n
}

// total counts the measurements of a histogram, and sums them up.
func (l *lab) total(t *testing.T, name string) (n uint64, sum float64) {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := l.metrics.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if h, ok := m.Data.(metricdata.Histogram[float64]); ok && m.Name == name {
				for _, p := range h.DataPoints {
					n, sum = n+p.Count, sum+p.Sum
				}
			}
		}
	}
	return n, sum
}

func attr(s sdktrace.ReadOnlySpan, key string) attribute.Value {
	for _, a := range s.Attributes() {
		if string(a.Key) == key {
			return a.Value
		}
	}
	return attribute.Value{}
}

// TEL-05: the contract holds through the decorator. Every call of the store has a
// span and a measurement. A failure of the store is its error.type, and another error
// its outcome: the store answered what was asked.
func TestContractThroughTheDecorator(t *testing.T) {
	for _, rule := range contracttest.Rules() {
		t.Run(rule.ID, func(t *testing.T) {
			l := newLab(t)
			counted := &countingStore{}
			contracttest.Check(t, contracttest.Backend{
				Lacks: []contracttest.Ability{contracttest.Keys, contracttest.Scripts, contracttest.OwnClock, contracttest.Legacy, contracttest.Damages, contracttest.Tampers},
				Open: func(testing.TB) *contracttest.Place {
					clock := contracttest.NewClock()
					counted.Store = memory.New(memory.Options{TTL: time.Hour, Now: clock.Now})
					s := l.Store(counted, telemetry.StoreOptions{System: "memory"})
					return &contracttest.Place{
						Store: s, TTL: time.Hour,
						Reopen:  func(testing.TB) store.Store { return s },
						Advance: func(_ testing.TB, d time.Duration) { clock.Advance(d) },
					}
				},
			}, rule)
			l.check(t, counted)
		})
	}
}

// check compares the spans with the calls that were made. A ping outside of a trace
// has none.
func (l *lab) check(t *testing.T, c *countingStore) {
	t.Helper()
	spans, failed := 0, 0
	for _, s := range l.spans.Ended() {
		spans++
		errType, outcome := attr(s, "error.type").AsString(), attr(s, "parley.outcome").AsString()
		if errType != "" || outcome != "" {
			failed++
		}
		if (s.Status().Code == codes.Error) != (errType != "") || errType == "not_found" || outcome != "" && outcome != "not_found" {
			t.Errorf("%s has error.type %q, outcome %q, status %v", s.Name(), errType, outcome, s.Status())
		}
		if s.SpanKind() != trace.SpanKindInternal || attr(s, "db.system.name").AsString() != "memory" || s.Name() != attr(s, "parley.store.operation").AsString() {
			t.Errorf("span %s: %v", s.Name(), s.Attributes())
		}
	}
	if calls := c.calls.Load(); int64(spans) != calls-c.pings.Load() || l.measured(t, "db.client.operation.duration") != uint64(calls) {
		t.Errorf("%d spans, %d measurements of %d calls", spans, l.measured(t, "db.client.operation.duration"), calls)
	}
	if int64(failed) != c.failures.Load() {
		t.Errorf("%d spans have an error.type or an outcome, %d calls failed", failed, c.failures.Load())
	}
	if n := len(l.spans.Started()); n != spans {
		t.Errorf("%d of %d spans never ended", n-spans, n)
	}
}
