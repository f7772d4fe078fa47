package main

import (
	"math/rand/v2"
	"testing"
	"time"

	"parley/contracttest/matrix"
)

// chaosShardsSeconds is how long TestChaosShards lasts; short when unset.
const chaosShardsSeconds = "PARLEY_CHAOS_SHARDS_SECONDS"

// Two instances on a cluster of six nodes, of which any is killed or stopped and whose
// slots move, lose nothing that was acknowledged and say nothing twice.
func TestChaosShards(t *testing.T) {
	slow(t)
	seconds, seed := setting64(t, chaosShardsSeconds, 8), setting64(t, chaosSeed, rand.Uint64N(1_000_000))
	e := matrix.ShardChaos(t, target(), matrix.Deploy(t, matrix.Paired), seed, time.Duration(seconds)*time.Second)
	for _, b := range e.Broken {
		t.Error(b)
	}
	t.Logf("seed %d: %d turns acknowledged, answers %v", seed, e.Acked, e.Others)
	if t.Failed() {
		t.Logf("again: %s=%d %s=%d go test -run TestChaosShards ./cmd/parley", chaosSeed, seed, chaosShardsSeconds, seconds)
	}
}
