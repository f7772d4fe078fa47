package main

import (
	"context"
	"encoding/hex"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"parley/contracttest/otlptest"
)

// collector is an OTLP receiver after the official protocol definitions, over
// gRPC and over HTTP. It keeps what it gets.
type collector struct {
	grpc, http string // addresses for OTEL_EXPORTER_OTLP_ENDPOINT

	mu     sync.Mutex
	raw    []byte // every exported byte, as it came
	spans  []span
	points []otlptest.Point
	logs   []line
}

type attributes map[string]string

// span and line are what tests want to know of a signal.
type span struct {
	name, kind, trace, id, parent string
	failed, described             bool // status Error; with a text
	attrs, resource               attributes
	events                        []string
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
	mux.HandleFunc("POST /v1/traces", otlptest.Handler(func(r *coltrace.ExportTraceServiceRequest) { c.takeSpans(r) }, &coltrace.ExportTraceServiceResponse{}))
	mux.HandleFunc("POST /v1/metrics", otlptest.Handler(func(r *colmetrics.ExportMetricsServiceRequest) { c.takeMetrics(r) }, &colmetrics.ExportMetricsServiceResponse{}))
	mux.HandleFunc("POST /v1/logs", otlptest.Handler(func(r *collogs.ExportLogsServiceRequest) { c.takeLogs(r) }, &collogs.ExportLogsServiceResponse{}))
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
	c.points = otlptest.Points(r) // every export has all that was counted so far
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

func read(list []*common.KeyValue) attributes { return otlptest.Attributes(list) }

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
		if p.Metric == metric && attributes(p.Attributes).has(with) {
			total += p.Value
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
