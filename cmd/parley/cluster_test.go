package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
	"parley/store"
)

// While one primary of a cluster is away, its users are told so and nobody else
// notices; health says how much is left, and the instance stays in.
func TestPartOfAClusterIsAway(t *testing.T) {
	slow(t)
	c := redistest.StartCluster(t, redistest.PartialCoverage())
	_, settings := agent(t)
	base := startWith(t, seams{verifier: byName{}}, append(settings, "AUTH_REQUIRED", "true", "AUTH_ISSUER", "https://issuer.example", "AZURE_CLIENT_ID", "client",
		"REDIS_MODE", "cluster", "REDIS_URL", c.URL(), "REDIS_NODES", c.Nodes[1].Addr(), "METRICS_PROMETHEUS", "true")...)
	start := func(user int) answer { return callAs(t, fmt.Sprint("user-", user), base+"/api/chat/start", m{}) }
	const users = 24
	for u := range users {
		if a := start(u); a.Status != 200 {
			t.Fatalf("user %d: %d %s", u, a.Status, a.Class)
		}
	}
	waitFor(t, func() bool { return call(t, base+"/health", nil).Store.Slots.Served == 16384 })
	if h := call(t, base+"/health", nil); h.Status != 200 || h.Redis != "connected" || h.Store.Shards.Up != 3 || h.Store.Shards.Total != 3 {
		t.Errorf("while all serve: %+v", h)
	}

	c.Nodes[2].Proxy.Set(faultproxy.Refuse())
	waitFor(t, func() bool { return call(t, base+"/health", nil).Redis == "partial" })
	h := call(t, base+"/health", nil)
	if h.Status != 200 || h.Store.LastError != "store_unreachable" || h.Store.Shards.Up != 2 || h.Store.Slots.Served <= 16384/2 || h.Store.Slots.Served >= 16384 || h.Store.Slots.Total != 16384 {
		t.Errorf("while one is away: %+v", h)
	}
	ready := call(t, base+"/readyz", nil)
	if ready.Status != 200 || !slices.ContainsFunc(ready.Warnings, func(w string) bool { return strings.Contains(w, "2 of 3 shards") }) {
		t.Errorf("while one is away: %+v", ready)
	}
	if said := strings.Join(append(ready.Warnings, h.Warnings...), " "); strings.Contains(said, "127.0.0.1") {
		t.Errorf("names a node: %s", said)
	}
	hurt := 0
	for u := range users {
		first := start(u)
		if first.Status != 200 {
			hurt++
		}
		for range 5 {
			if a := start(u); a.Status != first.Status || a.Status != 200 && (a.Status != 503 || a.Class != "store_unreachable") {
				t.Errorf("user %d: %d %s after %d %s", u, a.Status, a.Class, first.Status, first.Class)
			}
		}
	}
	if hurt == 0 || hurt == users {
		t.Errorf("%d of %d users are hurt", hurt, users)
	}
	metrics := fetch(t, "GET", base+"/metrics")
	for _, line := range []string{
		"parley_store_shards_count 3", "parley_store_shards_up 2", "parley_store_slots_count 16384",
		`parley_store_breaker_open{parley_store_shard="0"} 0`, `parley_store_breaker_open{parley_store_shard="2"} 1`,
	} {
		if !strings.Contains(metrics, "\n"+line+"\n") {
			t.Errorf("no metric says %s", line)
		}
	}

	for _, n := range c.Nodes[:2] {
		n.Proxy.Set(faultproxy.Refuse())
	}
	waitFor(t, func() bool { return call(t, base+"/health", nil).Status == 503 })
	if r := call(t, base+"/readyz", nil); r.Status != 503 {
		t.Errorf("while none serves: %+v", r)
	}
	for _, n := range c.Nodes {
		n.Proxy.Heal()
	}
	waitFor(t, func() bool { return call(t, base+"/health", nil).Redis == "connected" })
	for u := range users {
		if a := start(u); a.Status != 200 {
			t.Errorf("user %d, after it: %d %s", u, a.Status, a.Class)
		}
	}

	downAsAWhole(t, c, base)
}

// downAsAWhole kills one node of a cluster that serves nothing unless it can serve
// everything, which is Redis's default. The others answer PING all the same: a
// health that goes by it is wrong.
func downAsAWhole(t *testing.T, c *redistest.Cluster, base string) {
	fooled := startWith(t, seams{store: func(s store.Store) store.Store { return byPing{s, c.Nodes[:2]} }},
		"COPILOT_EMULATOR", "true", "REDIS_MODE", "cluster", "REDIS_URL", c.URL())
	for _, n := range c.Nodes {
		if err := n.Admin.ConfigSet(t.Context(), "cluster-require-full-coverage", "yes").Err(); err != nil {
			t.Fatal(err)
		}
	}
	c.Nodes[2].Kill(t)
	waitFor(t, func() bool { return call(t, base+"/health", nil).Status == 503 })
	if h := call(t, base+"/health", nil); h.Redis != "disconnected" || h.Store.Shards.Up != 0 {
		t.Errorf("while the cluster is down: %+v", h)
	}
	if h := call(t, fooled+"/health", nil); h.Status != 200 {
		t.Errorf("by PING the cluster is down as well: %+v", h)
	}
}

// byPing is a store that takes a node for well that answers PING.
type byPing struct {
	store.Store
	nodes []*redistest.Node
}

// Shards implements store.Sharded.
func (s byPing) Shards(ctx context.Context) (found store.Shards) {
	for _, n := range s.nodes {
		found.Total++
		if n.Admin.Ping(ctx).Err() == nil {
			found.Up++
		}
	}
	return found
}
