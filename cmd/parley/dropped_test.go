package main

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"parley/server"
	"parley/store"
)

// The end of a turn that is given up is counted by the class of what kept it from
// being stored, and logged. Every class is there before, at zero.
func TestDroppedEndIsCountedAndLogged(t *testing.T) {
	w := watch(t, "http/protobuf", func(c *config, _ *seams) { c.redisTimeout = 50 * time.Millisecond })
	id := w.start()
	w.store.complete = func(context.Context) error {
		return &store.Error{Op: "CompleteTurn", Kind: store.ErrUnreachable}
	}
	if a := w.send(id, "hello"); a.status != http.StatusServiceUnavailable || a.Class != "store_unreachable" {
		t.Fatalf("send: %d %s", a.status, a.body)
	}
	atOnce, cancel := context.WithCancel(t.Context())
	cancel()
	_ = w.server.Shutdown(atOnce) // it reports that time was too short, which is what is wanted here
	w.end()

	counted := map[string]float64{}
	for _, p := range w.collector.points {
		if p.Metric == "parley.commits.dropped" {
			counted[p.Attributes["error.type"]] += p.Value
		}
	}
	for f := range server.Failures() {
		want := 0.0
		if f.Class == "store_unreachable" {
			want = 1
		}
		if n, there := counted[f.Class]; (!there && f.Class != "client_canceled") || n != want {
			t.Errorf("%s: %v dropped (there: %v), want %v", f.Class, n, there, want)
		}
	}
	log := w.log.String()
	for _, part := range []string{`"msg":"end of a turn dropped"`, `"reason":"shutdown","class":"store_unreachable"`, `"level":"ERROR"`} {
		if !strings.Contains(log, part) {
			t.Errorf("the log has no %s: %s", part, log)
		}
	}
}
