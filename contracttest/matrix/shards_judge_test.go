package matrix

import (
	"strings"
	"testing"
	"time"
)

// A machine that stood still once excuses one call of each talker, and no more.
func TestStalledCallsAreBounded(t *testing.T) {
	const talkers = 2
	for calls, want := range map[int]string{talkers: "", talkers + 1: "3 calls timed out"} {
		b := &shardbed{tb: t, limits: measure(t, Bounds{}), row: ShardRow{Wait: 1}, load: &load{talkers: make([]*talker, talkers)}}
		b.timeout = time.Nanosecond // every machine is later than that
		for range calls {
			b.load.calls = append(b.load.calls, call{shard: 1, op: "Get", began: time.Now(), class: "store_timeout"})
		}
		e := ShardEntry{}
		e.judge(b, times{injected: time.Now(), ended: time.Now()})
		if got := strings.Join(e.Broken, "\n"); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%d calls: want %q, got %q", calls, want, got)
		}
	}
}
