package matrix

import (
	"strings"
	"testing"
	"time"

	"parley/contracttest/latency"
)

// A machine that stood still excuses the calls of that time, and no others.
func TestStalledCallsAreExcused(t *testing.T) {
	const timeout = time.Second
	injected := time.Now()
	at := func(seconds float64) time.Time { return injected.Add(time.Duration(seconds * float64(time.Second))) }
	machine := &latency.Baseline{}
	machine.Add(at(10), at(10.9))
	machine.Add(at(30), at(30.1)) // which a call can bear
	for began, excused := range map[float64]bool{9.2: true, 10.5: true, 8.9: false, 11: false, 29.5: false} {
		b := &shardbed{tb: t, limits: limits{baseline: machine, timeout: timeout}, row: ShardRow{Wait: 1}, load: &load{}}
		b.load.calls = []call{{shard: 1, op: "Get", began: at(began), took: timeout, class: "store_timeout"}}
		e := ShardEntry{}
		e.judge(b, times{injected: injected, ended: at(60)})
		if found := strings.Contains(strings.Join(e.Broken, "\n"), "Get of another shard: store_timeout"); found == excused || (e.Stalled == 1) != excused {
			t.Errorf("a call from %v s on: broken %q, %d not judged", began, e.Broken, e.Stalled)
		}
	}
}
