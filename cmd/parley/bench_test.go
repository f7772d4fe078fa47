package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/server"
	"parley/server/copilot"
	"parley/server/copilot/emulator"
	"parley/store/memory"
)

// asSink makes the test binary swallow what is exported to it, in a process of
// its own: what a collector costs is not what telemetry costs.
const asSink = "PARLEY_TEST_AS_SINK"

// sink serves until its standard input ends.
func sink() {
	web := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	_, _ = os.Stdout.WriteString("listening on " + web.URL + "\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// startSink gives the address of a sink.
func startSink(b *testing.B) string {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), asSink+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	line := make([]byte, 256)
	n, _ := out.Read(line)
	m := listening.FindStringSubmatch(string(line[:n]))
	if m == nil {
		b.Fatalf("the sink says %q", line[:n])
	}
	return m[1]
}

// bare is the least that answers: the API on memory, without telemetry and the
// limits of the program.
func bare(b *testing.B) (base string) {
	b.Helper()
	client, err := copilot.NewClient(copilot.Options{Endpoint: copilot.Endpoint{DirectConnectURL: benchAgent(b)}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.CloseIdleConnections)
	kept := memory.New(memory.Options{})
	api, err := server.New(server.Config{
		Store: kept, Agent: copilot.WithTokens(client, copilot.StaticToken("stub")), Health: server.NewHealth(server.HealthConfig{Backend: "memory", Ping: kept.Ping}),
	})
	if err != nil {
		b.Fatal(err)
	}
	web := httptest.NewServer(api)
	b.Cleanup(web.Close)
	return web.URL
}

// observed is the program with these variables in its environment.
func observed(b *testing.B, env ...string) (base string) {
	b.Helper()
	for i := 0; i < len(env); i += 2 {
		b.Setenv(env[i], env[i+1])
	}
	base = startWith(b, seams{}, "COPILOT_DIRECT_CONNECT_URL", benchAgent(b), "COPILOT_STUB_TOKEN", "stub", "LOG_LEVEL", "error")
	for i := 0; i < len(env); i += 2 {
		b.Setenv(env[i], "")
	}
	return base
}

// benchAgent serves an emulated agent and gives its address.
func benchAgent(b *testing.B) (url string) {
	b.Helper()
	web := httptest.NewServer(emulator.New(emulator.Options{Token: "stub"}))
	b.Cleanup(web.Close)
	return web.URL + "/agent"
}

// batch is how many turns are measured in a row: few enough for every mode to
// meet the same noise.
const batch = 50

// talk begins a conversation and says something in it, again and again; only
// the latter is measured.
func talk(b *testing.B, base string) spending {
	b.Helper()
	post := func(path, body string) []byte {
		resp, err := http.Post(base+path, "application/json", strings.NewReader(body)) //nolint:noctx // a benchmark has none to give
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		answer, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			b.Fatalf("%d %s %v", resp.StatusCode, answer, err)
		}
		return answer
	}
	id := conversationIn(string(post("/api/chat/start", "{}")))
	body := `{"conversationId":"` + id + `","text":"hello"}`
	before := spendingNow(b)
	for range batch {
		post("/api/chat/send", body)
	}
	return spendingNow(b).less(before)
}

// spending is what this process has used. Its processor time depends less than the time
// that passes on who else uses the machine.
type spending struct {
	passed, processor time.Duration
	allocs, bytes     uint64
}

// benchmarksBegan is when spending counts from.
var benchmarksBegan = time.Now()

func spendingNow(b *testing.B) spending {
	b.Helper()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	processor, err := processorTime()
	if err != nil {
		b.Fatal(err)
	}
	return spending{time.Since(benchmarksBegan), processor, memory.Mallocs, memory.TotalAlloc}
}

func (s spending) less(o spending) spending {
	return spending{s.passed - o.passed, s.processor - o.processor, s.allocs - o.allocs, s.bytes - o.bytes}
}

func conversationIn(answer string) string {
	_, rest, _ := strings.Cut(answer, `"conversationId":"`)
	id, _, _ := strings.Cut(rest, `"`)
	return id
}

// BenchmarkSend is a turn over HTTP with each degree of telemetry, in turns, so
// that the ratios to none are of one run. The allocations are of the whole
// process, client and emulated agent included, as is the time.
func BenchmarkSend(b *testing.B) {
	endpoint := startSink(b)
	modes := []struct {
		name string
		base string
	}{
		{"none", bare(b)},
		{"off", observed(b)},
		{"metrics", observed(b, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", endpoint+"/v1/metrics")},
		{"unsampled", observed(b, "OTEL_EXPORTER_OTLP_ENDPOINT", endpoint, "OTEL_TRACES_SAMPLER", "always_off")},
		{"recorded", observed(b, "OTEL_EXPORTER_OTLP_ENDPOINT", endpoint, "OTEL_TRACES_SAMPLER", "always_on", "OTEL_BSP_SCHEDULE_DELAY", "3600000", "OTEL_BSP_MAX_QUEUE_SIZE", "1000000", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1000000")},
		{"exported", observed(b, "OTEL_EXPORTER_OTLP_ENDPOINT", endpoint, "OTEL_TRACES_SAMPLER", "always_on")},
		{"away", observed(b, "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1", "OTEL_TRACES_SAMPLER", "always_on")},
	}
	all := make([][]spending, len(modes))
	for _, m := range modes {
		talk(b, m.base) // warm
	}
	for b.Loop() {
		for i, m := range modes {
			all[i] = append(all[i], talk(b, m.base))
		}
	}
	// The median, because a machine that others use makes any batch long.
	median := func(i int, of func(spending) float64) float64 {
		list := make([]float64, len(all[i]))
		for k, s := range all[i] {
			list[k] = of(s)
		}
		slices.Sort(list)
		return list[len(list)/2]
	}
	passed := func(s spending) float64 { return s.passed.Seconds() }
	processor := func(s spending) float64 { return s.processor.Seconds() }
	for i, m := range modes {
		b.ReportMetric(median(i, passed)/median(0, passed), m.name+":time/none")
		b.ReportMetric(median(i, processor)/median(0, processor), m.name+":cpu/none")
		var sum spending
		for k := range all[i] {
			more := all[i][k].less(all[0][k])
			sum.allocs, sum.bytes = sum.allocs+more.allocs, sum.bytes+more.bytes
		}
		turns := float64(len(all[i]) * batch)
		b.ReportMetric(float64(int64(sum.allocs))/turns, m.name+":allocs-none")
		b.ReportMetric(float64(int64(sum.bytes))/turns, m.name+":bytes-none")
	}
	b.ReportMetric(median(0, passed)/batch*1e9, "ns/turn:none")
}
