package latency_test

import (
	"testing"

	"parley/contracttest/latency"
)

// A machine that does work is slower than nothing, and what was measured is kept.
func TestBaseline(t *testing.T) {
	b := latency.Watch(t)
	first := b.Max()
	if first <= 0 {
		t.Error("nothing was measured")
	}
	for range 20 {
		if now := b.Max(); now < first {
			t.Errorf("the baseline fell from %v to %v", first, now)
		}
	}
}
