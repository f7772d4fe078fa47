package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// queueBound is more than what the exporters' queues can hold: 2,048 spans and as
// many log records of some 2 KB each, for two services, and what encoding takes.
const queueBound = 24 << 20

// A collector that is killed under load makes no request slower, takes no memory
// beyond the queues, and is told of in one line. A service whose collector lives
// is asked in turn, so that both meet the same noise.
func TestCollectorKilled(t *testing.T) {
	slow(t)
	receiver := func() *httptest.Server {
		web := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
		t.Cleanup(web.Close)
		return web
	}
	alive, killed := receiver(), receiver()
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "100")  // milliseconds; 5 s would outlast the test
	t.Setenv("OTEL_BLRP_SCHEDULE_DELAY", "100") // likewise
	log := &sharedBuffer{}
	observed := func(collector string, log io.Writer) (send func() time.Duration) {
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
		base := startService(t, log, "COPILOT_EMULATOR", "true")
		id := call(t, base+"/api/chat/start", m{}).ConversationID
		return func() time.Duration {
			began := time.Now()
			if a := call(t, base+"/api/chat/send", m{"conversationId": id, "text": "hello"}); a.Status != 200 {
				t.Errorf("send: %+v", a)
			}
			return time.Since(began)
		}
	}
	healthy, bereft := observed(alive.URL, io.Discard), observed(killed.URL, log)
	load := func(n int) (with, without time.Duration) {
		var a, b []time.Duration
		for range n {
			a, b = append(a, healthy()), append(b, bereft())
		}
		slices.Sort(a)
		slices.Sort(b)
		return a[n/2], b[n/2]
	}
	load(100)
	killed.CloseClientConnections()
	killed.Close()
	load(100) // so that the queues begin to fill
	before := heap()
	with, without := load(800)
	grown := heap() - before
	t.Logf("with its collector %v, without %v; %d KiB more", with, without, grown>>10)
	if without > with+with/10+100*time.Microsecond {
		t.Errorf("a request takes %v without the collector, %v with it", without, with)
	}
	if grown > queueBound {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	if n := strings.Count(log.String(), "telemetry is not exported"); n != 1 {
		t.Errorf("%d lines tell of it:\n%s", n, log.String())
	}
}

// heap is what is in use on it.
func heap() int64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}
