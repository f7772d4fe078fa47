package redis_test

import (
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"parley/contracttest"
	"parley/contracttest/redistest"
	"parley/store"
	"parley/store/redis"
	"parley/telemetry"
)

// The contract holds on a real Redis through the decorator too, and every call
// of it is a span that says what went to Redis.
func TestContractThroughTheDecorator(t *testing.T) {
	redis.Slow(t)
	url := redistest.Start(t).URL()
	seen := 0
	contracttest.Run(t, contracttest.Backend{Open: func(tb testing.TB) *contracttest.Place {
		spans := tracetest.NewSpanRecorder()
		tel, err := telemetry.New(telemetry.Options{
			Tracers: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)),
			Class: func(err error) string {
				if err == nil {
					return ""
				}
				return "failed"
			},
			Classes: []telemetry.Class{{Name: "failed"}},
		})
		if err != nil {
			tb.Fatal(err)
		}
		observed := func(s store.Store) store.Store {
			return tel.Store(s, telemetry.StoreOptions{System: "redis", Operation: redis.Operation})
		}
		p := open(tb, url)
		reopen, instance := p.Reopen, p.Instance
		p.Store = observed(p.Store)
		p.Reopen = func(tb testing.TB) store.Store { return observed(reopen(tb)) }
		p.Instance = func(tb testing.TB, ttl, ahead time.Duration) store.Store { return observed(instance(tb, ttl, ahead)) }
		tb.Cleanup(func() {
			seen += len(spans.Ended())
			if len(spans.Ended()) != len(spans.Started()) {
				tb.Errorf("%d spans of %d ended", len(spans.Ended()), len(spans.Started()))
			}
			for _, s := range spans.Ended() {
				method := ""
				for _, a := range s.Attributes() {
					if a.Key == "parley.store.operation" {
						method = a.Value.AsString()
					}
				}
				want, script := redis.Operation(method)
				if script != "" {
					want += " " + script
				}
				if s.Name() != want || want == "" {
					tb.Errorf("%s is the span %q", method, s.Name())
				}
			}
		})
		return p
	}})
	if seen == 0 {
		t.Error("no call was a span")
	}
}
