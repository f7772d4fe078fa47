package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"testing"

	"parley/contracttest/redistest"
	"parley/telemetry"
	"parley/telemetry/provider"
)

// What telemetry adds to a send, beside the same service without: what is recorded of
// it, and kept to be exported. Exporting itself is held by tests of package provider, and
// what it takes of processor time is for make bench.
func TestExportingCosts(t *testing.T) {
	if raceFactor > 1 {
		t.Skip("the race detector allocates as well")
	}
	server, agent := redistest.Start(t), newCannedAgent(t)
	collector := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(collector.Close)
	off := sendCost(t, server.URL(), agent)
	// Nothing is exported while it is measured.
	for _, p := range []string{"BSP", "BLRP"} {
		t.Setenv("OTEL_"+p+"_SCHEDULE_DELAY", "3600000")
		t.Setenv("OTEL_"+p+"_MAX_QUEUE_SIZE", "10000")
		t.Setenv("OTEL_"+p+"_MAX_EXPORT_BATCH_SIZE", "10000")
	}
	t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "3600000")
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	for _, c := range []struct {
		sampler            string
		allocations, bytes int
	}{
		{"always_on", 46, 8400},
		{"always_off", 47, 8500}, // failures are kept
	} {
		t.Run(c.sampler, func(t *testing.T) {
			t.Setenv("OTEL_TRACES_SAMPLER", c.sampler)
			got := sendCost(t, server.URL(), agent)
			got.allocations, got.allocated = got.allocations-off.allocations, got.allocated-off.allocated
			t.Logf("%d allocations, %d bytes", got.allocations, got.allocated)
			for _, h := range []struct {
				what      string
				got, want int
			}{{"allocations", got.allocations, c.allocations}, {"bytes", got.allocated, c.bytes}} {
				if h.got > h.want+h.want/20+besideAllocations || h.got < h.want*(100-mostCheaper)/100-besideAllocations {
					t.Errorf("telemetry adds %d %s, in the table are %d", h.got, h.what, h.want)
				}
			}
		})
	}
}

// Telemetry and its provider do not know each other, and agree on a cheaper way to start
// spans all the same.
func TestSpansStartConfigured(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "console")
	p, err := provider.New(t.Context(), provider.Options{Log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Shutdown(context.WithoutCancel(t.Context())) })
	if _, ok := p.Tracers.Tracer(telemetry.Scope).(telemetry.ConfiguredTracer); !ok {
		t.Error("each span reads its options and copies its attributes")
	}
}

// sendCost is what a send takes of a service of its own.
func sendCost(t *testing.T, redisURL string, agent *cannedAgent) cost {
	t.Helper()
	l := newCountedService(t, "COPILOT_DIRECT_CONNECT_URL", agent.url, "COPILOT_STUB_TOKEN", "stub", "REDIS_URL", redisURL)
	caller := newPlainCaller(t, l.Addr().String())
	answer, err := caller.ask(written("POST", "/api/chat/start", "{}"))
	if err != nil {
		t.Fatal(err)
	}
	send := written("POST", "/api/chat/send", fmt.Sprintf(`{"conversationId":%q,"text":"hello there"}`, conversationIn(string(answer))))
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	least := cost{allocations: math.MaxInt, allocated: math.MaxInt}
	for range 2 * pricedBatches { // the first makes connections, caches and series
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range pricedBatch {
			if _, err := caller.ask(send); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		least.allocations = min(least.allocations, int(after.Mallocs-before.Mallocs)/pricedBatch)
		least.allocated = min(least.allocated, int(after.TotalAlloc-before.TotalAlloc)/pricedBatch)
	}
	return least
}
