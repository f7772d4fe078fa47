package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"parley/contracttest/ports"
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
  otlp: {protocols: {http: {endpoint: %q}, grpc: {endpoint: %q}}}
exporters:
  jaeger_storage_exporter: {trace_storage: memory}
`

// jaeger is where a running Jaeger answers: URLs of its query API and of its OTLP
// receiver, and the address of the same over gRPC.
type jaeger struct{ query, otlp, grpc string }

// startJaeger runs one until the test has ended.
func startJaeger(t *testing.T) jaeger {
	t.Helper()
	binary := os.Getenv(jaegerBinary)
	if binary == "" {
		t.Skip("needs " + jaegerBinary + "; make test-jaeger builds it")
	}
	addrs := claimedAddresses(t, 4)
	config := writeFile(t, "jaeger.yaml", fmt.Sprintf(jaegerConfig, addrs[0], addrs[1], addrs[2], addrs[3]))
	runProgram(t, []string{"OTEL_TRACES_SAMPLER=always_off"}, binary, "--config", "file:"+config) // else it traces itself
	j := jaeger{query: "http://" + addrs[0], otlp: "http://" + addrs[2], grpc: addrs[3]}
	awaitAnswers(t, "Jaeger", j.query+"/api/services", j.otlp)
	return j
}

// claimedAddresses are addresses for programs to listen at.
func claimedAddresses(t *testing.T, n int) []string {
	t.Helper()
	all := make([]string, n)
	for i := range all {
		all[i] = ports.Of(t).Addr
	}
	return all
}

// writeFile writes a file of the test's own and gives its path.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// runProgram runs a program until the test has ended.
func runProgram(t *testing.T, environ []string, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), environ...)
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// awaitAnswers waits until all URLs are answered, whatever the answer is.
func awaitAnswers(t *testing.T, who string, urls ...string) {
	t.Helper()
	eventually(t, who+" answers", func() bool {
		for _, url := range urls {
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
	j := startJaeger(t)
	traces := map[string]string{} // by class
	for f := range server.Failures() {
		p := provocations()[f.Class]
		w := watchAt(t, j.otlp, p.change)
		p.ask(w)
		w.end()
		traces[f.Class] = w.traceOf(f.Class)
	}
	for class, want := range traces {
		if class == "client_canceled" {
			if j.find(t, class) != nil {
				t.Errorf("%s is no failure, and was found", class)
			}
			continue
		}
		j.finds(t, class, want)
	}
}

// traceOf is the trace of the line that names a class.
func (w *watched) traceOf(class string) (id string) {
	for _, l := range w.lines() {
		if l["class"] == class {
			id, _ = l["trace_id"].(string)
		}
	}
	return id
}

// finds waits for a trace of a class, which has to be that one alone.
func (j jaeger) finds(t *testing.T, class, want string) {
	t.Helper()
	var got []string
	eventually(t, "a trace of "+class, func() bool {
		got = j.find(t, class)
		return got != nil
	})
	if !slices.Equal(got, []string{want}) {
		t.Errorf("%s: found %v, want %s alone", class, got, want)
	}
}

// find asks for the traces of a class with the guide's command.
func (j jaeger) find(t *testing.T, class string) (ids []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", guideCommand(t))
	cmd.Env = append(os.Environ(), "JAEGER="+j.query, "CLASS="+class)
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
	for _, d := range answer.Data {
		ids = append(ids, d.TraceID)
	}
	return ids
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
