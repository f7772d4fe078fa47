package main

import (
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"time"

	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
)

// While the circuit breaker is open every call of Redis is refused, and yet every signal
// names the class of the failure that opened it, whatever became of Redis meanwhile: the
// answer, the spans, the log and /health. That it was the breaker is said beside it, on
// the span of the store and in the line of the request, and of no call before.
func TestBreakerKeepsTheClass(t *testing.T) {
	hole := faultproxy.BlackHole(faultproxy.Both, faultproxy.AllConns)
	redis := redistest.Start(t)
	for _, c := range []struct {
		name, class string
		fault       faultproxy.Fault
		later       *faultproxy.Fault // once it is open
	}{
		{"Redis hangs", "store_timeout", hole, nil},
		{"Redis hangs, and is killed", "store_timeout", hole, new(faultproxy.Refuse())},
		{"nobody answers to a connect", "store_timeout", faultproxy.HangDials(), nil},
		{"nobody listens", "store_unreachable", faultproxy.Refuse(), nil},
		{"nobody listens, and then Redis hangs", "store_unreachable", faultproxy.Refuse(), &hole},
	} {
		t.Run(c.name, func(t *testing.T) {
			proxy := faultproxy.Start(t, redis.Addr())
			w := watch(t, "http/protobuf", func(cfg *config, _ *seams) {
				cfg.redisURL, cfg.redisTimeout = "redis://"+proxy.Addr(), 500*time.Millisecond
			})
			id := w.start()
			proxy.Set(c.fault)
			proxy.KillConns(faultproxy.RST)
			waitFor(t, func() bool {
				var reading sync.WaitGroup
				for range 5 {
					reading.Go(func() { w.ask("GET", "/api/chat/conversations/"+id, "") })
				}
				reading.Wait()
				found := breakerLines(t, w.log.String())
				return len(found) > 0 && found[0].Open
			})
			if c.later != nil {
				proxy.Set(*c.later)
			}
			refused := map[string]bool{} // traces
			for _, ask := range []func() told{
				func() told { return start(w) },
				func() told { return w.send(id, "hello") },
				func() told { return w.ask("GET", "/api/chat/conversations", "") },
				func() told { return w.ask("GET", "/api/chat/conversations/"+id, "") },
				func() told { return w.ask("PATCH", "/api/chat/conversations/"+id, `{"status":"completed"}`) },
				func() told { return w.ask("DELETE", "/api/chat/conversations/"+id, "") },
			} {
				a := ask()
				if a.status != http.StatusServiceUnavailable || a.Class != c.class {
					t.Errorf("while it is open: %d %s, want %s", a.status, a.body, c.class)
				}
				refused[a.TraceID] = true
			}
			waitFor(t, func() bool { // a probe was refused, too, and shows no time as if Redis had answered
				h := call(t, w.base+"/health", nil)
				return h.Store.LastError == c.class && h.Store.Breaker == "open" && h.Store.LatencyMs == nil
			})
			w.end()
			w.checkBreaker(c.class, refused)
		})
	}
}

// checkBreaker looks at what is said of the traces in which the breaker refused a call.
func (w *watched) checkBreaker(class string, refused map[string]bool) {
	w.t.Helper()
	open, asked := 0, map[string]bool{} // asked by id, because it has an attempt
	for _, s := range w.collector.spans {
		asked[s.parent] = asked[s.parent] || s.attrs["parley.store.attempt"] != ""
	}
	for _, s := range w.collector.spans {
		switch {
		case s.attrs["db.system.name"] == "":
		case refused[s.trace]:
			open++
			if s.attrs["parley.store.breaker"] != "open" || s.attrs["error.type"] != class || !s.failed {
				w.t.Errorf("span %+v, want class %s", s, class)
			}
		case s.attrs["parley.store.breaker"] != "" && asked[s.id]:
			w.t.Errorf("Redis was asked, and the breaker is open: %+v", s)
		}
	}
	if open != len(refused) {
		w.t.Errorf("%d spans of the store in %d traces", open, len(refused))
	}
	lines := 0
	for _, l := range w.lines() {
		trace, _ := l["trace_id"].(string)
		if !refused[trace] {
			continue
		}
		lines++
		if l["breaker"] != "open" || l["class"] != class {
			text, _ := json.Marshal(l)
			w.t.Errorf("line: %s", text)
		}
	}
	if lines != len(refused) {
		w.t.Errorf("%d lines of %d requests", lines, len(refused))
	}
}
