package telemetry_test

import (
	"errors"
	"testing"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"parley/store"
	"parley/telemetry"
)

// Every export has the values of that moment.
func TestObserved(t *testing.T) {
	l := newLab(t)
	pool := telemetry.Pool{Used: 3, Idle: 2, Pending: 1, Max: 32, IdleMin: 2, Timeouts: 7, Waits: 9}
	on := true
	err := errors.Join(
		l.ObservePool(func() telemetry.Pool { return pool }),
		l.ObserveStore(func() bool { return on }),
		l.ObserveBreakers(func() []bool { return []bool{false, !on, !on} }),
		l.ObserveShards(func() store.Shards { return store.Shards{Up: 2, Total: 3, SlotsServed: 10923, SlotsTotal: 16384} }),
		l.ObserveCommits(func() int { return 5 }),
		l.ObserveLogs(func() int64 { return 4 }),
	)
	if err != nil {
		t.Fatal(err)
	}
	l.CommitDropped("store_unreachable")
	l.CommitDropped("store_unreachable")
	for _, want := range []map[string]int64{
		{"parley.store.up": 1, "parley.store.breaker.open": 0, "parley.store.shards.count": 3, "parley.store.shards.up": 2, "parley.store.slots.count": 16384, "parley.store.slots.served": 10923, "parley.commits.pending": 5, "parley.commits.dropped": 2, "parley.logs.dropped": 4, "db.client.connection.count": 5, "db.client.connection.max": 32, "db.client.connection.idle.min": 2, "db.client.connection.pending_requests": 1, "db.client.connection.timeouts": 7, "parley.store.pool.waits": 9},
		{"parley.store.up": 0, "parley.store.breaker.open": 2},
	} {
		var all metricdata.ResourceMetrics
		if err := l.metrics.Collect(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		got := map[string]int64{}
		for _, scope := range all.ScopeMetrics {
			for _, m := range scope.Metrics {
				switch d := m.Data.(type) {
				case metricdata.Sum[int64]:
					for _, p := range d.DataPoints {
						got[m.Name] += p.Value
					}
				case metricdata.Gauge[int64]:
					for _, p := range d.DataPoints {
						got[m.Name] += p.Value
					}
				}
			}
		}
		for name, v := range want {
			if got[name] != v {
				t.Errorf("%s is %d, want %d", name, got[name], v)
			}
		}
		on = !on
	}
}
