package latency_test

import (
	"testing"
	"time"

	"parley/contracttest/latency"
)

// A machine that does work is slower than nothing, and what was measured is kept.
func TestBaseline(t *testing.T) {
	b := latency.Watch(t)
	deadline := time.Now().Add(10 * time.Second)
	for tick := time.Tick(time.Millisecond); b.Max() <= 0; <-tick {
		if time.Now().After(deadline) {
			t.Fatal("nothing was measured within 10 s")
		}
	}
	first := b.Max()
	for range 20 {
		if now := b.Max(); now < first {
			t.Errorf("the baseline fell from %v to %v", first, now)
		}
	}
}
