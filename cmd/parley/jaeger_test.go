package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"parley/server"
)

// jaegerBinary names a Jaeger v2 to run; make test-jaeger builds one.
const jaegerBinary = "PARLEY_JAEGER"

// jaegerConfig is a Jaeger that keeps traces in memory: query API, the same over
// gRPC, and where OTLP comes in.
const jaegerConfig = `
service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces: {receivers: [otlp], exporters: [jaeger_storage_exporter]}
  telemetry:
    metrics: {level: none}
    logs: {level: error}
extensions:
  jaeger_storage: {backends: {memory: {memory: {max_traces: 10000}}}}
  jaeger_query: {storage: {traces: memory}, http: {endpoint: %q}, grpc: {endpoint: %q}}
receivers:
  otlp: {protocols: {http: {endpoint: %q}}}
exporters:
  jaeger_storage_exporter: {trace_storage: memory}
`

// startJaeger gives the addresses of its query API and of its OTLP receiver.
func startJaeger(t *testing.T) (query, otlp string) {
	t.Helper()
	binary := os.Getenv(jaegerBinary)
	if binary == "" {
		t.Skip("needs " + jaegerBinary + "; make test-jaeger builds it")
	}
	ports := make([]string, 3)
	for i := range ports {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ports[i] = l.Addr().String()
		_ = l.Close()
	}
	config := filepath.Join(t.TempDir(), "jaeger.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, jaegerConfig, ports[0], ports[1], ports[2]), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, "--config", "file:"+config)
	cmd.Env = append(os.Environ(), "OTEL_TRACES_SAMPLER=always_off") // else it traces itself
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	query, otlp = "http://"+ports[0], "http://"+ports[2]
	eventually(t, "Jaeger answers", func() bool {
		for _, url := range []string{query + "/api/services", otlp} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return false
			}
			_ = resp.Body.Close()
		}
		return true
	})
	return query, otlp
}

// eventually polls until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("not in time: %s", what)
		case <-tick.C:
		}
	}
}

// TEL-04: the query that the operator's guide prints finds, in a real Jaeger, the
// traces of a class and no others, although nothing but failures is sampled.
func TestJaegerFindsFailuresByClass(t *testing.T) {
	query, otlp := startJaeger(t)
	traces := map[string]string{} // by class
	for f := range server.Failures() {
		p := provocations()[f.Class]
		w := watchAt(t, otlp, p.change)
		p.ask(w)
		w.end()
		for _, l := range w.lines() {
			if l["class"] == f.Class {
				traces[f.Class], _ = l["trace_id"].(string)
			}
		}
	}
	command := guideCommand(t)
	for class, want := range traces {
		var got []string
		find := func() bool {
			cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
			cmd.Env = append(os.Environ(), "JAEGER="+query, "CLASS="+class)
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("the guide's command: %v", err)
			}
			var answer struct {
				Data []struct {
					TraceID string `json:"traceID"`
				} `json:"data"`
			}
			if err := json.Unmarshal(out, &answer); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			got = nil
			for _, d := range answer.Data {
				got = append(got, d.TraceID)
			}
			return len(got) > 0
		}
		if class == "client_canceled" {
			if find() {
				t.Errorf("%s is no failure, and was found", class)
			}
			continue
		}
		eventually(t, "a trace of "+class, find)
		if !slices.Equal(got, []string{want}) {
			t.Errorf("%s: found %v, want %s alone", class, got, want)
		}
	}
}

// guideCommand is what the guide tells an operator to type.
func guideCommand(t *testing.T) string {
	t.Helper()
	guide, err := os.ReadFile(root + "telemetry/README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)<!-- jaeger -->\n```sh\n(.*?)```").FindSubmatch(guide)
	if m == nil {
		t.Fatal("the guide has no query for Jaeger")
	}
	return string(m[1])
}
