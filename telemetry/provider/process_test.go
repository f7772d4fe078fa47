package provider

import (
	"context"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"

	"parley/contracttest/otlptest"
)

// scraped gives the metrics as a Prometheus that accepts these formats gets them.
func scraped(t *testing.T, p *Provider, accept string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	p.Metrics.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	return w
}

// What Prometheus 3 sends, and what a person or an old scraper does.
const (
	openMetrics = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1"
	plainText   = "text/plain;version=0.0.4"
)

// A measurement of a sampled trace leads to it, in the format that can say so, and
// whoever asks at the same time for another format gets that one.
func TestExemplars(t *testing.T) {
	p := open(t, Options{Prometheus: true})
	defer p.Shutdown(t.Context())
	h, err := p.Meters.Meter("test").Float64Histogram("test.duration", metric.WithUnit("s"), metric.WithExplicitBucketBoundaries(1, 60))
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.Meters.Meter("test").Int64Counter("test.requests")
	if err != nil {
		t.Fatal(err)
	}
	measure := func(id string, flags trace.TraceFlags, seconds float64) {
		var traceID trace.TraceID
		_, _ = hex.Decode(traceID[:], []byte(id))
		ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: trace.SpanID{1}, TraceFlags: flags}))
		h.Record(ctx, seconds)
		c.Add(ctx, 1)
	}
	const sampled, not = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	measure(sampled, trace.FlagsSampled, 30)
	measure(not, 0, 0.5)

	var asking sync.WaitGroup
	for range 8 {
		asking.Go(func() {
			w := scraped(t, p, openMetrics)
			page := w.Body.String()
			for _, line := range []string{
				`test_duration_seconds_bucket\{le="60.0"\} 2 # \{.*trace_id="` + sampled + `".*\} 30`,
				`test_requests_total 2.* # \{.*trace_id="` + sampled + `".*\} 1`,
			} {
				if !regexp.MustCompile(`(?m)^` + line).MatchString(page) {
					t.Errorf("no line %s in\n%s", line, page)
				}
			}
			if !strings.HasPrefix(w.Header().Get("Content-Type"), "application/openmetrics-text") || strings.Contains(page, not) || !strings.HasSuffix(page, "# EOF\n") {
				t.Errorf("%v\n%s", w.Header(), page)
			}
		})
		asking.Go(func() {
			w := scraped(t, p, plainText)
			if page := w.Body.String(); !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") || strings.Contains(page, sampled) || !strings.Contains(page, "test_requests_total 2") {
				t.Errorf("%v\n%s", w.Header(), page)
			}
		})
	}
	asking.Wait()
}

// Scrapes and exporters tell of the Go runtime and of the process, by the same names.
func TestProcessMetrics(t *testing.T) {
	names := map[string]string{
		"process_cpu_seconds_total": "process_cpu_seconds_total", "process_resident_memory_bytes": "process_resident_memory_bytes",
		"process_open_fds": "process_open_fds", "process_max_fds": "process_max_fds", "process_start_time_seconds": "process_start_time_seconds",
		"go_goroutine_count": "go.goroutine.count", "go_memory_used_bytes": "go.memory.used",
		"go_memory_allocated_bytes_total": "go.memory.allocated", "go_memory_gc_goal_bytes": "go.memory.gc.goal",
		"go_processor_limit": "go.processor.limit", "go_config_gogc_percent": "go.config.gogc",
	}
	exported := make(chan map[string]bool, 1)
	collector := httptest.NewServer(otlptest.Handler(func(r *colmetrics.ExportMetricsServiceRequest) {
		found := map[string]bool{}
		for _, point := range otlptest.Points(r) {
			found[point.Metric] = true
		}
		exported <- found
	}, &colmetrics.ExportMetricsServiceResponse{}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", collector.URL+"/v1/metrics")
	p := open(t, Options{Prometheus: true})
	page := scraped(t, p, plainText).Body.String()
	p.Shutdown(t.Context()) // exports
	got := <-exported
	for scrape, export := range names {
		if !regexp.MustCompile(`(?m)^` + scrape + `[ {]`).MatchString(page) {
			t.Errorf("%s is not scraped", scrape)
		}
		if !got[export] {
			t.Errorf("%s is not exported: %v", export, got)
		}
	}
}

// The resource says which host and process it is, and neither whose nor how it was
// started. What the operator says wins.
func TestResourceNamesNobody(t *testing.T) {
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=parley-1,host.name=renamed")
	r, err := newResource(context.Background(), "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, a := range r.Attributes() {
		got[string(a.Key)] = a.Value.String()
	}
	for key, want := range map[string]string{
		"service.name": "parley", "service.version": "v1.2.3", "k8s.pod.name": "parley-1", "host.name": "renamed",
		"os.type": "linux", "process.runtime.name": "go", "telemetry.sdk.language": "go",
	} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
	for _, key := range []string{"process.pid", "process.runtime.version", "service.instance.id"} {
		if got[key] == "" {
			t.Errorf("there is no %s", key)
		}
	}
	for key, value := range got {
		if strings.Contains(key, "owner") || strings.Contains(key, "command") || strings.Contains(key, "executable") || strings.Contains(value, os.Args[0]) {
			t.Errorf("%s=%s", key, value)
		}
	}
	if id, there := got["container.id"]; there && !containerID.MatchString(id) {
		t.Errorf("container.id %s", id)
	}
}
