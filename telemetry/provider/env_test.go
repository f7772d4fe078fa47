package provider

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"go.opentelemetry.io/otel"
)

// What a variable cannot mean stops the start; what it can, does not. Nothing of a
// value is repeated.
func TestVariables(t *testing.T) {
	const mark = "S3CR3T"
	for _, c := range []struct {
		name string
		good []string
		bad  []string
	}{
		{"OTEL_SDK_DISABLED", []string{"false", "FALSE", "False"}, []string{"1", "yes", " true", mark}},
		{"OTEL_TRACES_EXPORTER", []string{"otlp", "console", "none"}, []string{"jaeger", "OTLP", "otlp,console", "prometheus", mark}},
		{"OTEL_METRICS_EXPORTER", []string{"otlp", "prometheus"}, []string{"zipkin", mark}},
		{"OTEL_LOGS_EXPORTER", []string{"otlp"}, []string{"logging", "prometheus", mark}},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", []string{"grpc", "http/protobuf"}, []string{"http/json", "http", "GRPC", mark}},
		{"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", []string{"grpc"}, []string{"udp", mark}},
		{
			"OTEL_EXPORTER_OTLP_ENDPOINT",
			[]string{"http://localhost:4318", "https://collector.example", "HTTP://[::1]:4317/x"},
			[]string{
				"localhost:4318", "collector.example", "//collector.example", "http://", "ftp://collector.example", "http://c:99999", "http://c:0", "http://c:x",
				"http://user:" + mark + "@c:4318", "https://" + mark + "@c", "https://c/v1?sig=" + mark, "https://c/#" + mark, "http://c/%zz" + mark, "unix:///run/otel.sock", mark,
			},
		},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", []string{"http://localhost:4318/v1/traces"}, []string{"localhost:4318/v1/traces", "https://u:" + mark + "@c"}},
		{
			"OTEL_EXPORTER_OTLP_HEADERS",
			[]string{"api-key=" + mark, "a=1,b=2", " a = 1 ", "authorization=Basic%20YTpi=", "a="},
			[]string{"api-key:" + mark, "Authorization: Bearer " + mark, mark, "a=1,," + mark, "a b=" + mark, "=" + mark, "a=100%" + mark, "a=1,b:" + mark},
		},
		{"OTEL_EXPORTER_OTLP_METRICS_HEADERS", []string{"a=b"}, []string{"a:" + mark}},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", []string{"0", "10000"}, []string{"10s", "-1", "1.5", mark}},
		{"OTEL_EXPORTER_OTLP_COMPRESSION", []string{"gzip", "none"}, []string{"zstd", mark}},
		{"OTEL_EXPORTER_OTLP_INSECURE", []string{"true", "False"}, []string{"1", mark}},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE", nil, []string{"/nowhere/" + mark, "env_test.go"}},
		{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", nil, []string{"/nowhere/" + mark}},
		{"OTEL_EXPORTER_OTLP_CLIENT_KEY", nil, []string{"/nowhere/" + mark}},
		{"OTEL_TRACES_SAMPLER", []string{"always_off", "parentbased_traceidratio"}, []string{"all", "Always_On", mark}},
		{"OTEL_RESOURCE_ATTRIBUTES", []string{"a=b", "deployment.environment=prod,x=%2C"}, []string{"a", "a=b,c", "=" + mark, "a=%zz" + mark, mark}},
		{"OTEL_BSP_SCHEDULE_DELAY", []string{"5000"}, []string{"5s", "0", "-1", mark}},
		{"OTEL_BLRP_MAX_QUEUE_SIZE", []string{"2048"}, []string{"many", mark}},
		{"OTEL_METRIC_EXPORT_INTERVAL", []string{"60000"}, []string{"60s", "0", mark}},
		{"OTEL_METRICS_EXEMPLAR_FILTER", []string{"trace_based"}, []string{"on", mark}},
		{"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", []string{"128", "-1"}, []string{"few", mark}},
		{"OTEL_PROPAGATORS", []string{"tracecontext", "none"}, []string{"tracecontext,baggage", "b3", "baggage", "TraceContext", mark}},
		{"OTEL_SERVICE_NAME", []string{"anything at all"}, nil},
	} {
		only := func(v string) func(string) string {
			return func(name string) string {
				if name == c.name {
					return v
				}
				return ""
			}
		}
		for _, v := range c.good {
			if faults := Check(only(v)); len(faults) != 0 {
				t.Errorf("%s=%q: %v", c.name, v, faults)
			}
		}
		for _, v := range c.bad {
			faults := Check(only(v))
			if len(faults) != 1 || !strings.HasPrefix(faults[0].Error(), c.name+": ") {
				t.Errorf("%s=%q: %v, want one fault of it", c.name, v, faults)
			}
			if text := errors.Join(faults...); text != nil && strings.Contains(text.Error(), mark) {
				t.Errorf("%s=%q is repeated: %v", c.name, v, text)
			}
		}
	}
}

// Whatever it says, nothing is wrong with the telemetry that is off.
func TestDisabled(t *testing.T) {
	for _, v := range []string{"true", "TRUE", "True"} {
		t.Setenv("OTEL_SDK_DISABLED", v)
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
		t.Setenv("OTEL_TRACES_SAMPLER", "nonsense")
		p, err := New(t.Context(), Options{Log: &bytes.Buffer{}})
		if err != nil || p.Tracers != nil || p.Meters != nil {
			t.Errorf("OTEL_SDK_DISABLED=%s: %v", v, err)
		}
	}
}

// A unix socket is for gRPC only, whichever variable says so.
func TestEndpointsOfProtocols(t *testing.T) {
	for protocol, ok := range map[string]bool{"grpc": true, "http/protobuf": false, "": false} {
		for _, name := range []string{"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"} {
			faults := Check(func(n string) string {
				return map[string]string{name: protocol, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "unix:///run/otel.sock"}[n]
			})
			if (len(faults) == 0) != ok {
				t.Errorf("%s=%s: %v", name, protocol, faults)
			}
		}
	}
}

// What the SDK says of its variables, or a collector of its headers, is not passed
// on to the log.
func TestSecretsInTheSDKsWords(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=S3CR3T-one,authorization=Bearer%20S3CR3T-two")
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	var out bytes.Buffer
	p, err := New(t.Context(), Options{Log: &out, Level: slog.LevelDebug})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		errors.New("401 for S3CR3T-one"), errors.New("not Bearer S3CR3T-two"), errors.New("not Bearer%20S3CR3T-two"),
	} {
		p.own = slog.New(discreet{slog.NewJSONHandler(&out, nil), secrets(func(string) string {
			return "api-key=S3CR3T-one,authorization=Bearer%20S3CR3T-two"
		})})
		otel.Handle(err)
		p.own.LogAttrs(t.Context(), slog.LevelError, "parse headers", slog.String("input", "S3CR3T"), slog.Any("err", err))
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	p.Shutdown(over)
	if text := out.String(); strings.Contains(text, "S3CR3T") || strings.Count(text, "\n") < 6 {
		t.Errorf("the log says\n%s", text)
	}
}
