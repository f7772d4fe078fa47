package otlptest_test

import (
	"bytes"
	"net/http"
	"reflect"
	"testing"

	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"parley/contracttest/otlptest"
)

func post(t *testing.T, url, media string, body []byte) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", media)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// What is exported can be looked at; what is no OTLP is refused.
func TestReceiver(t *testing.T) {
	r := otlptest.Start(t)
	class := []*common.KeyValue{
		{Key: "error.type", Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: "full"}}},
		{Key: "n", Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: 7}}},
		{Key: "yes", Value: &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: true}}},
		{Key: "half", Value: &common.AnyValue{Value: &common.AnyValue_DoubleValue{DoubleValue: 0.5}}},
	}
	export := func(path string, m proto.Message) {
		body, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if status := post(t, r.URL()+path, "application/x-protobuf", body); status != http.StatusOK {
			t.Errorf("%s: %d", path, status)
		}
	}
	export("/v1/traces", &coltrace.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{{ScopeSpans: []*trace.ScopeSpans{{Spans: []*trace.Span{
		{Name: "a", Kind: trace.Span_SPAN_KIND_SERVER, TraceId: []byte{1, 2}, Attributes: class},
	}}}}}})
	for count := range uint64(2) {
		export("/v1/metrics", &colmetrics.ExportMetricsServiceRequest{ResourceMetrics: []*metrics.ResourceMetrics{{ScopeMetrics: []*metrics.ScopeMetrics{{Metrics: []*metrics.Metric{
			{Name: "d", Data: &metrics.Metric_Histogram{Histogram: &metrics.Histogram{DataPoints: []*metrics.HistogramDataPoint{{Count: count, Attributes: class}}}}},
			{Name: "s", Data: &metrics.Metric_Sum{Sum: &metrics.Sum{DataPoints: []*metrics.NumberDataPoint{{Value: &metrics.NumberDataPoint_AsInt{AsInt: 3}}}}}},
			{Name: "g", Data: &metrics.Metric_Gauge{Gauge: &metrics.Gauge{DataPoints: []*metrics.NumberDataPoint{{Value: &metrics.NumberDataPoint_AsDouble{AsDouble: 0.25}}}}}},
		}}}}}})
	}
	if s := r.Spans(); len(s) != 1 || s[0].Kind != "SPAN_KIND_SERVER" || s[0].Trace != "0102" || s[0].Attributes["error.type"] != "full" {
		t.Errorf("spans %+v", s)
	}
	want := []otlptest.Point{
		{"d", 1, map[string]string{"error.type": "full", "n": "7", "yes": "true", "half": "0.5"}},
		{"s", 3, map[string]string{}},
		{"g", 0.25, map[string]string{}},
	}
	if p := r.Points(); !reflect.DeepEqual(p, want) {
		t.Errorf("points %+v", p)
	}
	for media, body := range map[string]string{"application/json": "{}", "application/x-protobuf": "nonsense"} {
		if status := post(t, r.URL()+"/v1/traces", media, []byte(body)); status != http.StatusBadRequest {
			t.Errorf("%s %s: %d", media, body, status)
		}
	}
}
