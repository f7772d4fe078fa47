package provider

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/goleak"
)

// buffer is a log that can be written while it is read.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func open(t *testing.T, o Options) *Provider {
	t.Helper()
	if o.Log == nil {
		o.Log = io.Discard
	}
	p, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// With nothing configured, nothing runs, is recorded or is logged.
func TestNothingConfigured(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	var log buffer
	p := open(t, Options{Log: &log})
	if p.Tracers != nil || p.Meters != nil || p.Metrics != nil {
		t.Error("something is recorded")
	}
	p.Shutdown(t.Context())
	if log.String() != "" {
		t.Errorf("log: %s", &log)
	}
}

func TestWanted(t *testing.T) {
	for name, c := range map[string]struct {
		env  []string
		want signals
	}{
		"nothing":               {},
		"an endpoint":           {[]string{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"}, signals{true, true, true}},
		"one endpoint":          {[]string{"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://c"}, signals{logs: true}},
		"one not":               {[]string{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c", "OTEL_LOGS_EXPORTER", "none"}, signals{traces: true, metrics: true}},
		"one by name":           {[]string{"OTEL_TRACES_EXPORTER", "otlp"}, signals{traces: true}},
		"the sdk is turned off": {[]string{"OTEL_SDK_DISABLED", "true", "OTEL_TRACES_EXPORTER", "otlp"}, signals{}},
	} {
		t.Run(name, func(t *testing.T) {
			for i := 0; i < len(c.env); i += 2 {
				t.Setenv(c.env[i], c.env[i+1])
			}
			if got := wanted(); got != c.want {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestBadVariables(t *testing.T) {
	for _, env := range [][]string{
		{"OTEL_TRACES_EXPORTER", "pigeon"},
		{"OTEL_METRICS_EXPORTER", "pigeon"},
		{"OTEL_LOGS_EXPORTER", "pigeon"},
		{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_TRACES_SAMPLER", "sometimes"},
		{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_TRACES_SAMPLER", "traceidratio", "OTEL_TRACES_SAMPLER_ARG", "NaN"},
		{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL", "smoke"},
	} {
		t.Run(strings.Join(env, " "), func(t *testing.T) {
			for i := 0; i < len(env); i += 2 {
				t.Setenv(env[i], env[i+1])
			}
			_, err := New(t.Context(), Options{Log: io.Discard})
			if err == nil || !strings.HasPrefix(err.Error(), "OTEL_") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestSamplers(t *testing.T) {
	for name, want := range map[string]string{
		"":                         sdktrace.ParentBased(sdktrace.AlwaysSample()).Description(),
		"always_on":                sdktrace.AlwaysSample().Description(),
		"always_off":               sdktrace.NeverSample().Description(),
		"parentbased_always_off":   sdktrace.ParentBased(sdktrace.NeverSample()).Description(),
		"traceidratio":             sdktrace.TraceIDRatioBased(0.25).Description(),
		"parentbased_traceidratio": sdktrace.ParentBased(sdktrace.TraceIDRatioBased(0.25)).Description(),
	} {
		t.Setenv("OTEL_TRACES_SAMPLER", name)
		t.Setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
		s, err := sampler(os.Getenv)
		if err != nil || s.Description() != want {
			t.Errorf("%q gives %v (%v)", name, s, err)
		}
	}
}

// The service's name and version have defaults, which the variables override.
func TestResource(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.version=7")
	for _, name := range []string{"", "other"} {
		t.Setenv("OTEL_SERVICE_NAME", name)
		p := open(t, Options{Version: "1"})
		_, span := p.Tracers.Tracer("t").Start(t.Context(), "x")
		got := map[attribute.Key]string{}
		for _, a := range span.(sdktrace.ReadOnlySpan).Resource().Attributes() {
			got[a.Key] = a.Value.AsString()
		}
		want := name
		if want == "" {
			want = ServiceName
		}
		if got["service.name"] != want || got["service.version"] != "7" || got["service.instance.id"] == "" || got["deployment.environment.name"] != "test" {
			t.Errorf("%v", got)
		}
		p.Shutdown(canceled(t))
	}
}

// canceled makes a context for a Shutdown that must not wait.
func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// A line has the ids of its trace once, also when its caller has added them.
func TestTraceIDsInLines(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1")
	var log buffer
	p := open(t, Options{Log: &log})
	defer p.Shutdown(canceled(t))
	ctx, span := p.Tracers.Tracer("t").Start(t.Context(), "x")
	l := slog.New(p.Logs).With(slog.String("k", "v"))
	l.LogAttrs(ctx, slog.LevelInfo, "a")
	l.LogAttrs(ctx, slog.LevelInfo, "b", slog.String("trace_id", span.SpanContext().TraceID().String()))
	l.LogAttrs(t.Context(), slog.LevelInfo, "c")
	if err := p.lines.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	for i, line := range lines {
		var got map[string]string
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		want := span.SpanContext().TraceID().String()
		if i == 2 {
			want = ""
		}
		if got["trace_id"] != want || (got["span_id"] != "") != (want != "") || got["k"] != "v" || strings.Count(line, "trace_id") > 1 {
			t.Errorf("line %s", line)
		}
	}
	if len(lines) != 3 {
		t.Errorf("%d lines", len(lines))
	}
}

func TestThrottle(t *testing.T) {
	now := time.Unix(1e9, 0)
	var log buffer
	h := &throttle{next: slog.NewJSONHandler(&log, nil), every: time.Minute, now: func() time.Time { return now }}
	l := slog.New(h)
	for range 150 { // ten a minute for a quarter of an hour
		l.LogAttrs(t.Context(), slog.LevelWarn, "down")
		now = now.Add(6 * time.Second)
	}
	l.LogAttrs(t.Context(), slog.LevelInfo, "chatter")
	if n := strings.Count(log.String(), "\n"); n != 15 {
		t.Errorf("%d lines in a quarter of an hour", n)
	}
	if !strings.Contains(log.String(), `"not_shown":9`) || strings.Contains(log.String(), "chatter") {
		t.Errorf("log: %s", &log)
	}
}

// A collector that does not answer delays no caller and is logged once.
func TestCollectorAway(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
			t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
			t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "5")
			var log buffer
			p := open(t, Options{Log: &log})
			tracer := p.Tracers.Tracer("t")
			l := slog.New(p.Logs)
			for range 10_000 { // more than any queue holds
				ctx, span := tracer.Start(t.Context(), "x")
				l.LogAttrs(ctx, slog.LevelDebug, "not even this")
				span.End()
			}
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			began := time.Now()
			p.Shutdown(ctx)
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("the end took %v of 200ms", took)
			}
			if n := strings.Count(log.String(), "\n"); n > 1 {
				t.Errorf("%d lines: %s", n, &log)
			}
		})
	}
}

func TestPrometheus(t *testing.T) {
	p := open(t, Options{Prometheus: true})
	defer p.Shutdown(t.Context())
	c, err := p.Meters.Meter("t").Int64Counter("parley.things")
	if err != nil {
		t.Fatal(err)
	}
	c.Add(t.Context(), 3)
	rec := httptest.NewRecorder()
	p.Metrics.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), "parley_things_total 3") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestShortErrors(t *testing.T) {
	if got := short(errors.New(strings.Repeat("x", 1000))); len(got) > 310 {
		t.Errorf("%d bytes", len(got))
	}
}
