package main

import (
	"context"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// collector is an OTLP receiver after the official protocol definitions, over
// gRPC and over HTTP. It keeps what it gets.
type collector struct {
	grpc, http string // addresses for OTEL_EXPORTER_OTLP_ENDPOINT

	mu     sync.Mutex
	raw    []byte // every exported byte, as it came
	spans  []span
	points []point
	logs   []line
}

type attributes map[string]string

// span, point and line are what tests want to know of a signal.
type span struct {
	name, kind, trace, id, parent string
	failed, described             bool // status Error; with a text
	attrs, resource               attributes
	events                        []string
}

type point struct {
	metric string
	attrs  attributes
	value  float64 // of a sum or gauge; number of measurements of a histogram
}

type line struct {
	body, trace string
	attrs       attributes
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rpc := grpc.NewServer()
	coltrace.RegisterTraceServiceServer(rpc, traceService{c: c})
	colmetrics.RegisterMetricsServiceServer(rpc, metricsService{c: c})
	collogs.RegisterLogsServiceServer(rpc, logsService{c: c})
	var serving sync.WaitGroup
	serving.Go(func() { _ = rpc.Serve(listener) }) // ends with Stop
	t.Cleanup(func() {
		rpc.Stop()
		serving.Wait()
	})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", receive(func(r *coltrace.ExportTraceServiceRequest) { c.takeSpans(r) }, &coltrace.ExportTraceServiceResponse{}))
	mux.HandleFunc("POST /v1/metrics", receive(func(r *colmetrics.ExportMetricsServiceRequest) { c.takeMetrics(r) }, &colmetrics.ExportMetricsServiceResponse{}))
	mux.HandleFunc("POST /v1/logs", receive(func(r *collogs.ExportLogsServiceRequest) { c.takeLogs(r) }, &collogs.ExportLogsServiceResponse{}))
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	c.grpc, c.http = "http://"+listener.Addr().String(), web.URL
	return c
}

// use has the process export everything to the collector by that protocol.
func (c *collector) use(t *testing.T, protocol string) {
	t.Helper()
	endpoint := c.http
	if protocol == "grpc" {
		endpoint = c.grpc
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
}

// receive is the HTTP form of an OTLP service.
func receive[T any, P interface {
	*T
	proto.Message
}](take func(P), answer proto.Message) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		in := P(new(T))
		if err != nil || r.Header.Get("Content-Type") != "application/x-protobuf" || proto.Unmarshal(body, in) != nil {
			http.Error(w, "not OTLP", http.StatusBadRequest)
			return
		}
		take(in)
		out, _ := proto.Marshal(answer)
		w.Header().Set("Content-Type", "application/x-protobuf")
		_, _ = w.Write(out)
	}
}

type (
	traceService struct {
		coltrace.UnimplementedTraceServiceServer
		c *collector
	}
	metricsService struct {
		colmetrics.UnimplementedMetricsServiceServer
		c *collector
	}
	logsService struct {
		collogs.UnimplementedLogsServiceServer
		c *collector
	}
)

func (s traceService) Export(_ context.Context, r *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
	s.c.takeSpans(r)
	return &coltrace.ExportTraceServiceResponse{}, nil
}

func (s metricsService) Export(_ context.Context, r *colmetrics.ExportMetricsServiceRequest) (*colmetrics.ExportMetricsServiceResponse, error) {
	s.c.takeMetrics(r)
	return &colmetrics.ExportMetricsServiceResponse{}, nil
}

func (s logsService) Export(_ context.Context, r *collogs.ExportLogsServiceRequest) (*collogs.ExportLogsServiceResponse, error) {
	s.c.takeLogs(r)
	return &collogs.ExportLogsServiceResponse{}, nil
}

// keep remembers the bytes of a request.
func (c *collector) keep(m proto.Message) {
	b, _ := proto.Marshal(m)
	c.raw = append(c.raw, b...)
}

func (c *collector) takeSpans(r *coltrace.ExportTraceServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(r)
	for _, rs := range r.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				out := span{
					name: s.GetName(), kind: s.GetKind().String(), trace: hex.EncodeToString(s.GetTraceId()),
					id: hex.EncodeToString(s.GetSpanId()), parent: hex.EncodeToString(s.GetParentSpanId()),
					failed: s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR, described: s.GetStatus().GetMessage() != "",
					attrs: read(s.GetAttributes()), resource: read(rs.GetResource().GetAttributes()),
				}
				for _, e := range s.GetEvents() {
					out.events = append(out.events, e.GetName())
				}
				c.spans = append(c.spans, out)
			}
		}
	}
}

func (c *collector) takeMetrics(r *colmetrics.ExportMetricsServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(r)
	c.points = nil // every export has all that was counted so far
	for _, rm := range r.GetResourceMetrics() {
		for _, sm := range rm.GetScopeMetrics() {
			for _, m := range sm.GetMetrics() {
				for _, p := range append(m.GetSum().GetDataPoints(), m.GetGauge().GetDataPoints()...) {
					c.points = append(c.points, point{m.GetName(), read(p.GetAttributes()), float64(p.GetAsInt()) + p.GetAsDouble()})
				}
				for _, p := range m.GetHistogram().GetDataPoints() {
					c.points = append(c.points, point{m.GetName(), read(p.GetAttributes()), float64(p.GetCount())})
				}
			}
		}
	}
}

func (c *collector) takeLogs(r *collogs.ExportLogsServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(r)
	for _, rl := range r.GetResourceLogs() {
		for _, sl := range rl.GetScopeLogs() {
			for _, l := range sl.GetLogRecords() {
				c.logs = append(c.logs, line{l.GetBody().GetStringValue(), hex.EncodeToString(l.GetTraceId()), read(l.GetAttributes())})
			}
		}
	}
}

func read(list []*common.KeyValue) attributes {
	out := attributes{}
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

// has reports whether all of want is among the attributes.
func (a attributes) has(want attributes) bool {
	for k, v := range want {
		if a[k] != v {
			return false
		}
	}
	return true
}

// server gives the spans of requests.
func (c *collector) server() []span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []span
	for _, s := range c.spans {
		if s.kind == "SPAN_KIND_SERVER" {
			out = append(out, s)
		}
	}
	return out
}

// named gives the spans of a name.
func (c *collector) named(name string) []span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []span
	for _, s := range c.spans {
		if s.name == name {
			out = append(out, s)
		}
	}
	return out
}

// sum adds up the points of a metric that have all these attributes.
func (c *collector) sum(metric string, with attributes) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	total := 0.0
	for _, p := range c.points {
		if p.metric == metric && p.attrs.has(with) {
			total += p.value
		}
	}
	return total
}

// requests gives the lines that tell of a request.
func (c *collector) requests() []line {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []line
	for _, l := range c.logs {
		if l.body == "request" {
			out = append(out, l)
		}
	}
	return out
}
