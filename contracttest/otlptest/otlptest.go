// Package otlptest receives telemetry over OTLP/HTTP with protobuf, after the official
// protocol definitions, and keeps what a check wants to know of it.
package otlptest

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"

	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"
)

const (
	maxRequest = 16 << 20 // bytes of one export
	maxSpans   = 100_000  // that are kept; the oldest go first
)

// Span is one span.
type Span struct {
	Name, Kind, Trace string
	Attributes        map[string]string
}

// Point is the value of a sum or a gauge, or the number of measurements of a histogram,
// by attributes.
type Point struct {
	Metric     string
	Value      float64
	Attributes map[string]string
}

// Receiver is a running receiver. It is safe for concurrent use.
type Receiver struct {
	web *httptest.Server

	mu     sync.Mutex
	spans  []Span
	points []Point // of the last export: every one has all that was counted so far
}

// Start starts one. It ends with the test.
func Start(tb testing.TB) *Receiver {
	tb.Helper()
	r := &Receiver{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", Handler(r.takeSpans, &coltrace.ExportTraceServiceResponse{}))
	mux.HandleFunc("POST /v1/metrics", Handler(r.takeMetrics, &colmetrics.ExportMetricsServiceResponse{}))
	// Logs are taken from what the server prints.
	mux.HandleFunc("POST /v1/logs", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", contentType) })
	r.web = httptest.NewServer(mux)
	tb.Cleanup(r.web.Close)
	return r
}

// URL is the value of OTEL_EXPORTER_OTLP_ENDPOINT.
func (r *Receiver) URL() string { return r.web.URL }

// Spans are all that came so far.
func (r *Receiver) Spans() []Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.spans)
}

// Points are those of the last export.
func (r *Receiver) Points() []Point {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.points)
}

const contentType = "application/x-protobuf"

// Handler is the HTTP form of an OTLP service: it takes what is exported, and gives that
// answer. Requests of more than 16 MiB, and such as are none, are refused.
func Handler[T any, P interface {
	*T
	proto.Message
}](take func(P), answer proto.Message) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
		in := P(new(T))
		if err != nil || r.Header.Get("Content-Type") != contentType || proto.Unmarshal(body, in) != nil {
			http.Error(w, "not OTLP over HTTP with protobuf", http.StatusBadRequest)
			return
		}
		take(in)
		out, _ := proto.Marshal(answer)
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(out)
	}
}

func (r *Receiver) takeSpans(in *coltrace.ExportTraceServiceRequest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rs := range in.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				r.spans = append(r.spans, Span{s.GetName(), s.GetKind().String(), hex.EncodeToString(s.GetTraceId()), Attributes(s.GetAttributes())})
			}
		}
	}
	if over := len(r.spans) - maxSpans; over > 0 {
		r.spans = slices.Delete(r.spans, 0, over)
	}
}

func (r *Receiver) takeMetrics(in *colmetrics.ExportMetricsServiceRequest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.points = Points(in)
}

// Points are all that is in an export.
func Points(in *colmetrics.ExportMetricsServiceRequest) (all []Point) {
	for _, rm := range in.GetResourceMetrics() {
		for _, sm := range rm.GetScopeMetrics() {
			for _, m := range sm.GetMetrics() {
				for _, p := range slices.Concat(m.GetSum().GetDataPoints(), m.GetGauge().GetDataPoints()) {
					all = append(all, Point{m.GetName(), float64(p.GetAsInt()) + p.GetAsDouble(), Attributes(p.GetAttributes())})
				}
				for _, p := range m.GetHistogram().GetDataPoints() {
					all = append(all, Point{m.GetName(), float64(p.GetCount()), Attributes(p.GetAttributes())})
				}
			}
		}
	}
	return all
}

// Attributes are those that are no lists, as text.
func Attributes(list []*common.KeyValue) map[string]string {
	out := map[string]string{}
	for _, kv := range list {
		switch v := kv.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			out[kv.GetKey()] = v.StringValue
		case *common.AnyValue_IntValue:
			out[kv.GetKey()] = strconv.FormatInt(v.IntValue, 10)
		case *common.AnyValue_BoolValue:
			out[kv.GetKey()] = strconv.FormatBool(v.BoolValue)
		case *common.AnyValue_DoubleValue:
			out[kv.GetKey()] = strconv.FormatFloat(v.DoubleValue, 'g', -1, 64)
		}
	}
	return out
}
