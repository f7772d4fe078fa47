package telemetry_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"parley/server/copilot"
	"parley/store"
	"parley/telemetry"
)

// idle is a store that answers at once.
type idle struct{ store.Store }

func (idle) RenewLease(context.Context, store.Turn) (store.Signals, error) {
	return store.Signals{}, nil
}

// fixed is a transport that answers at once.
type fixed struct{}

func (fixed) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

// dropped lets the SDK do all its work on a span and then discards it.
type dropped struct{}

func (dropped) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (dropped) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (dropped) Shutdown(context.Context) error                  { return nil }
func (dropped) ForceFlush(context.Context) error                { return nil }

// BenchmarkDecorators measures what each decorator adds to a call that takes no
// time: with nothing exported, with spans that are not recorded, and with all of it.
func BenchmarkDecorators(b *testing.B) {
	classes := []telemetry.Class{{Name: "internal"}}
	tel := func(o telemetry.Options) *telemetry.Telemetry {
		o.Class, o.Classes = class, classes
		t, err := telemetry.New(o)
		if err != nil {
			b.Fatal(err)
		}
		return t
	}
	meters := func() *sdkmetric.MeterProvider {
		return sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	}
	for _, m := range []struct {
		name string
		tel  *telemetry.Telemetry
	}{
		{"off", tel(telemetry.Options{})},
		{"unrecorded", tel(telemetry.Options{Meters: meters(), Tracers: sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))})},
		{"recorded", tel(telemetry.Options{Meters: meters(), Tracers: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(dropped{}))})},
	} {
		ctx := b.Context()
		b.Run("store/"+m.name, func(b *testing.B) {
			s := m.tel.Store(idle{}, telemetry.StoreOptions{System: "memory"})
			b.ReportAllocs()
			for b.Loop() {
				_, _ = s.RenewLease(ctx, store.Turn{})
			}
		})
		b.Run("redis/"+m.name, func(b *testing.B) {
			s := m.tel.Store(failing{tell: m.tel.StoreRoundTrip}, ofRedis)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = s.RenewLease(ctx, store.Turn{})
			}
		})
		b.Run("agent/"+m.name, func(b *testing.B) {
			a := m.tel.Agent(scripted{events: []copilot.Event{{Kind: copilot.EventEnded}}}, "")
			b.ReportAllocs()
			for b.Loop() {
				for _, err := range a.Start(ctx, copilot.Start{}) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
		b.Run("transport/"+m.name, func(b *testing.B) {
			rt := m.tel.Transport(fixed{})
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://agent.example/conversations", nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				resp, err := rt.RoundTrip(req)
				if err != nil {
					b.Fatal(err)
				}
				_ = resp.Body.Close()
			}
		})
		b.Run("handler/"+m.name, func(b *testing.B) {
			h := m.tel.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				m.tel.Done(r.Context(), telemetry.Outcome{Route: "/api/chat/send", Status: http.StatusOK, Turn: true})
			}))
			req, rec := httptest.NewRequestWithContext(ctx, http.MethodPost, "/api/chat/send", nil), httptest.NewRecorder()
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(rec, req)
			}
		})
	}
}
