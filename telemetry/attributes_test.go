package telemetry_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"parley/server/copilot"
	"parley/telemetry"
)

// seen samples everything and keeps what a sampler sees of each span.
type seen struct {
	mu    sync.Mutex
	spans map[string]map[attribute.Key]attribute.Value // by name
}

func (s *seen) Description() string { return "seen" }

func (s *seen) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	s.mu.Lock()
	defer s.mu.Unlock()
	attrs := map[attribute.Key]attribute.Value{}
	for _, a := range p.Attributes {
		attrs[a.Key] = a.Value
	}
	s.spans[p.Name] = attrs
	return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample}
}

// The span of a request to the agent has what the semantic conventions require and
// recommend of an HTTP client, over every version of HTTP. What is known when the
// request is sent is there when the span starts, so that a sampler can go by it.
func TestAttributesOfAttempts(t *testing.T) {
	answers := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/refused") {
			w.WriteHeader(http.StatusForbidden)
		}
	})
	plain, secure := httptest.NewServer(answers), httptest.NewUnstartedServer(answers)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	defer plain.Close()
	defer secure.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	for name, c := range map[string]struct {
		base, path, version, errorType string
		status                         int64
	}{
		"HTTP/1.1": {plain.URL, "/ok", "1.1", "", 200},
		"HTTP/2":   {secure.URL, "/ok", "2", "", 200},
		"refused":  {plain.URL, "/refused", "1.1", "403", 403},
		"no agent": {gone.URL, "/ok", "", "internal", 0},
	} {
		t.Run(name, func(t *testing.T) {
			sampler := &seen{spans: map[string]map[attribute.Key]attribute.Value{}}
			spans := tracetest.NewSpanRecorder()
			tel, err := telemetry.New(telemetry.Options{
				Tracers: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans), sdktrace.WithSampler(sampler)),
				Class:   class, Classes: []telemetry.Class{{Name: "internal", SpanError: true}},
			})
			if err != nil {
				t.Fatal(err)
			}
			client, err := copilot.NewClient(copilot.Options{
				Endpoint: copilot.Endpoint{DirectConnectURL: c.base + c.path}, Transport: tel.Transport(secure.Client().Transport),
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, err := range tel.Agent(client, c.base).Start(t.Context(), copilot.Start{}) {
				if err == nil {
					t.Error("an answer without a body is none of the protocol")
				}
			}
			u, err := url.Parse(c.base)
			if err != nil {
				t.Fatal(err)
			}
			want := map[attribute.Key]string{"server.address": u.Hostname(), "server.port": u.Port()}
			for span, more := range map[string]map[attribute.Key]string{
				"POST":         {"http.request.method": "POST", "url.full": c.base + c.path + "/conversations"},
				"invoke_agent": {"gen_ai.operation.name": "invoke_agent", "gen_ai.provider.name": "microsoft.copilot_studio"},
			} {
				for _, all := range []map[attribute.Key]string{want, more} {
					for key, value := range all {
						if got := sampler.spans[span][key]; got.String() != value {
							t.Errorf("when %s starts, %s is %q, want %q", span, key, got.String(), value)
						}
					}
				}
			}
			for _, s := range spans.Ended() {
				if s.Name() != "POST" {
					continue
				}
				if attr(s, "network.protocol.version").AsString() != c.version || attr(s, "http.response.status_code").AsInt64() != c.status ||
					attr(s, "error.type").AsString() != c.errorType {
					t.Errorf("%v", s.Attributes())
				}
			}
		})
	}
}
