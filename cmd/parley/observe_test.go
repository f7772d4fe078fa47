package main

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// standPrograms names a directory with a collector and a prometheus; make stand-observe
// builds them.
const standPrograms = "PARLEY_STAND"

// azureSink stands in for Application Insights: it takes what the Collector's exporter
// posts and keeps it.
type azureSink struct {
	url   string
	mu    sync.Mutex
	items []azureItem
}

// azureItem is what the exporter posts for a span, a log line or a point of a metric.
type azureItem struct {
	Tags map[string]string
	Data struct {
		BaseType string
		BaseData struct {
			Name, Target string
			Success      bool
			Properties   map[string]string
			Metrics      []struct {
				Name         string
				Value, Count float64
			}
		}
	}
}

func startAzureSink(t *testing.T) *azureSink {
	t.Helper()
	sink := &azureSink{}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := sink.take(r)
		if err != nil {
			t.Errorf("what Azure was sent: %v", err)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"itemsReceived": n, "itemsAccepted": n, "errors": []string{}})
	}))
	t.Cleanup(web.Close)
	sink.url = web.URL
	return sink
}

// take reads a body: items of JSON, one a line.
func (s *azureSink) take(r *http.Request) (n int, err error) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		if body, err = gzip.NewReader(body); err != nil {
			return 0, err
		}
	}
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; lines.Scan(); n++ {
		var item azureItem
		if err := json.Unmarshal(lines.Bytes(), &item); err != nil {
			return n, err
		}
		s.items = append(s.items, item)
	}
	return n, lines.Err()
}

// of are the items of a type so far.
func (s *azureSink) of(kind string) (all []azureItem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, item := range s.items {
		if item.Data.BaseType == kind {
			all = append(all, item)
		}
	}
	return all
}

// prometheus is a running Prometheus, by its URL.
type prometheus string

// get asks for a path.
func (p prometheus) get(t *testing.T, path string) (status int, body []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, string(p)+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = resp.Body.Close() }()
	if body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

// ask gives the labels of what an expression finds.
func (p prometheus) ask(t *testing.T, expr string) (found []map[string]string) {
	t.Helper()
	status, body := p.get(t, "/api/v1/query?query="+url.QueryEscape(expr))
	var answer struct {
		Data struct {
			Result []struct{ Metric map[string]string }
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil || status != http.StatusOK {
		t.Fatalf("%s: %d %s (%v)", expr, status, body, err)
	}
	for _, r := range answer.Data.Result {
		found = append(found, r.Metric)
	}
	return found
}

// stand is the Collector, Jaeger, Prometheus and what stands in for Azure.
type stand struct {
	jaeger
	prometheus
	azure *azureSink
	otlp  string
}

// replaced gives a file of the telemetry folder in which each of these, which must be in
// it, is another: addresses, and times that are long for a test.
func replaced(t *testing.T, name string, pairs ...string) string {
	t.Helper()
	text := readTelemetry(t, name)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("%s has no %s", name, pairs[i])
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// startStand wires them with the files as they are, but for what is replaced; in the
// Collector's, that and also other pairs.
func startStand(t *testing.T, other ...string) stand {
	t.Helper()
	programs := os.Getenv(standPrograms)
	if programs == "" {
		t.Skip("needs " + standPrograms + "; make stand-observe builds it")
	}
	addrs := claimedAddresses(t, 4)
	s := stand{jaeger: startJaeger(t), azure: startAzureSink(t), otlp: "http://" + addrs[1], prometheus: prometheus("http://" + addrs[3])}
	config := writeFile(t, "collector.yaml", replaced(t, "collector.yaml", append([]string{
		"0.0.0.0:4317", addrs[0], "0.0.0.0:4318", addrs[1], "0.0.0.0:8889", addrs[2], "jaeger:4317", s.grpc, "decision_wait: 70s", "decision_wait: 1s",
	}, other...)...))
	runProgram(t, []string{"APPLICATIONINSIGHTS_CONNECTION_STRING=InstrumentationKey=00000000-0000-0000-0000-000000000000;IngestionEndpoint=" + s.azure.url + "/"},
		filepath.Join(programs, "collector"), "--config", "file:"+config, "--config", "yaml:service::telemetry::metrics::level: none")
	dir := t.TempDir()
	for name, text := range map[string]string{
		"prometheus.yaml": replaced(t, "prometheus.yaml", "collector:8889", addrs[2], "scrape_interval: 15s", "scrape_interval: 500ms", "evaluation_interval: 30s", "evaluation_interval: 500ms"),
		"alerts.yaml":     replaced(t, "alerts.yaml", "interval: 30s", "interval: 500ms"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	runProgram(t, nil, filepath.Join(programs, "prometheus"), "--config.file="+filepath.Join(dir, "prometheus.yaml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+addrs[3], "--enable-feature=exemplar-storage", "--log.level=error")
	awaitAnswers(t, "the Collector", s.otlp, "http://"+addrs[2]+"/metrics")
	eventually(t, "Prometheus is ready", func() bool {
		status, _ := s.get(t, "/-/ready")
		return status == http.StatusOK
	})
	return s
}

// What an operator finds of ten failures, with the files and the questions of the guide,
// in Jaeger, in Prometheus, and in what Azure is sent.
func TestStandFindsFailures(t *testing.T) {
	s := startStand(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", s.otlp)
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "300")
	classes := []string{
		"store_unreachable", "store_timeout", "store_auth", "store_corrupt", "auth_unavailable", "token_unavailable", "upstream_timeout",
		"upstream_rejected", "agent_error", "turn_conflict", "internal", "panic",
	}
	traces := map[string]string{}
	for i, class := range classes {
		p := provocations()[class]
		w := watchExports(t, p.change)
		// A count that is not seen at zero first is no increase.
		eventually(t, "Prometheus knows the instance", func() bool { return len(s.ask(t, "parley_build_info")) == i+1 })
		p.ask(w)
		w.end()
		traces[class] = w.traceOf(class)
	}
	for _, class := range classes {
		t.Run(class, func(t *testing.T) {
			s.finds(t, class, traces[class])
			eventually(t, "Prometheus counts it", func() bool {
				return len(s.ask(t, `parley:requests:increase{window="5m",requests="turns",parley_outcome="`+class+`"} > 0`)) == 1
			})
			eventually(t, "Azure has the request", func() bool { return len(s.azure.requests(class, traces[class])) > 0 })
			s.azure.check(t, class, traces[class])
		})
	}
	var bugs []string
	eventually(t, "ParleyBug fires", func() bool {
		bugs = nil
		for _, labels := range s.ask(t, `ALERTS{alertname="ParleyBug",alertstate="firing"}`) {
			bugs = append(bugs, labels["parley_outcome"])
		}
		slices.Sort(bugs)
		return slices.Equal(bugs, []string{"internal", "panic", "store_corrupt"})
	})
	if down := s.ask(t, `ALERTS{alertname="ParleyDown"}`); len(down) > 0 {
		t.Errorf("down: %v", down)
	}
	s.azure.checkMetrics(t, classes)
	s.checkDashboard(t)
	eventually(t, "Azure has the panic among its exceptions", func() bool {
		return slices.ContainsFunc(s.azure.of("ExceptionData"), func(i azureItem) bool { return i.Tags["ai.operation.id"] == traces["panic"] })
	})
	w := watchExports(t)
	w.ask(http.MethodGet, "/nowhere", "")
	w.end()
	eventually(t, "Azure has a name for a request that matches no route", func() bool {
		return slices.ContainsFunc(s.azure.of("RequestData"), func(i azureItem) bool { return i.Data.BaseData.Name == "GET /unmatched" })
	})
}

// When the last instance is gone, Prometheus learns of it through the Collector as well.
func TestStandNoticesTheEnd(t *testing.T) {
	s := startStand(t, "metric_expiration: 90s", "metric_expiration: 2s")
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", s.otlp)
	t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "300")
	w := watchExports(t)
	eventually(t, "Prometheus knows the instance", func() bool { return len(s.ask(t, "parley_build_info")) == 1 })
	w.end()
	eventually(t, "ParleyDown is pending", func() bool { return len(s.ask(t, `ALERTS{alertname="ParleyDown"}`)) == 1 })
}

// checkDashboard has Prometheus answer every question of the dashboard.
func (p prometheus) checkDashboard(t *testing.T) {
	t.Helper()
	// What the stand has not: Redis, an issuer's keys, and answers that were given up.
	without := regexp.MustCompile("breaker|pool|db_client_connection|signing_keys|dropped")
	fill := strings.NewReplacer("$instance", ".*", "$route", ".*", "$__rate_interval", "1m")
	for _, panel := range readDashboard(t).Panels {
		for _, target := range panel.Targets {
			if found := p.ask(t, fill.Replace(target.Expr)); len(found) == 0 && !without.MatchString(target.Expr) {
				t.Errorf("%s: nothing for %s", panel.Title, target.Expr)
			}
		}
	}
}

// requests are those of a trace that failed with a class, as the first query of the guide
// for Azure finds them.
func (s *azureSink) requests(class, trace string) (all []azureItem) {
	for _, item := range s.of("RequestData") {
		if item.Data.BaseData.Properties["error.type"] == class && item.Tags["ai.operation.id"] == trace && item.Tags["ai.cloud.role"] == "parley" {
			all = append(all, item)
		}
	}
	return all
}

// check looks at what Azure has of a failure: one request, a success only where the status
// is, and what broke in it.
func (s *azureSink) check(t *testing.T, class, trace string) {
	t.Helper()
	found := s.requests(class, trace)
	if len(found) != 1 {
		t.Fatalf("%d requests", len(found))
	}
	request := found[0].Data.BaseData
	if success := class == "turn_conflict" || class == "agent_error"; request.Success != success || request.Properties["parley.outcome"] != class {
		t.Errorf("success is %v, outcome %s", request.Success, request.Properties["parley.outcome"])
	}
	if !strings.HasPrefix(class, "store_") && !strings.HasPrefix(class, "upstream_") {
		return
	}
	broke := 0
	for _, item := range s.of("RemoteDependencyData") {
		d := item.Data.BaseData
		if item.Tags["ai.operation.id"] == trace && d.Properties["error.type"] == class {
			broke++
			if d.Name == "" || strings.HasPrefix(class, "upstream_") && d.Target == "" && d.Properties["server.address"] == "" {
				t.Errorf("a dependency does not say what was called: %+v", d)
			}
		}
	}
	if broke == 0 {
		t.Error("nothing says what broke")
	}
}

// checkMetrics adds up the counts that Azure was sent, as its queries do: each failure was
// counted once, and no zeros were sent.
func (s *azureSink) checkMetrics(t *testing.T, classes []string) {
	t.Helper()
	sums := map[string]float64{}
	for _, item := range s.of("MetricData") {
		for _, m := range item.Data.BaseData.Metrics {
			if m.Name != "parley.requests" {
				continue
			}
			if m.Value == 0 {
				t.Fatalf("a zero was sent: %v", item.Data.BaseData.Properties)
			}
			sums[item.Data.BaseData.Properties["parley.outcome"]] += m.Value
		}
	}
	for _, class := range classes {
		if sums[class] != 1 {
			t.Errorf("Azure counts %v requests that came to %s, want 1", sums[class], class)
		}
	}
}
