package redis

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/contracttest/redistest"
	"parley/store"
)

// What is wrong with the kind of Redis that answers is told as that, by a look as by a
// call: it would not pass by itself.
func TestWrongMode(t *testing.T) {
	Slow(t)
	cluster := redistest.StartCluster(t, redistest.Replicas(1))
	sentinels := redistest.StartSentinel(t)
	primary, replica := redistest.Start(t), redistest.Start(t)
	replicate(t, admin(t, replica), primary)
	for name, c := range map[string]struct {
		url   string
		mode  Mode
		want  error
		reads error // of a call that only reads; that of a write is want
	}{
		"single, a primary of a cluster": {url: cluster.Nodes[0].URL(), want: store.ErrMisconfigured, reads: store.ErrMisconfigured},
		"single, a replica of a cluster": {url: cluster.Nodes[3].URL(), want: store.ErrMisconfigured, reads: store.ErrMisconfigured},
		"single, a sentinel":             {url: "redis://" + sentinels.Addrs()[0], want: store.ErrMisconfigured, reads: store.ErrMisconfigured},
		"single, a replica":              {url: replica.URL(), want: store.ErrReadOnly, reads: store.ErrNotFound},
		"cluster, a single server":       {url: primary.URL(), mode: ModeCluster, want: store.ErrMisconfigured, reads: store.ErrMisconfigured},
		"cluster, a sentinel":            {url: "redis://" + sentinels.Addrs()[0], mode: ModeCluster, want: store.ErrMisconfigured, reads: store.ErrMisconfigured},
	} {
		s, err := New(Options{URL: c.url, Mode: c.mode, Timeout: 5 * time.Second, roleInterval: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		far := ownerIn(2, 3) // whose keys the first primary of a cluster does not have
		_, err = s.BeginTurn(t.Context(), store.Begin{Owner: far.Owner, Conversation: "c", New: true, Fingerprint: "f"})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: a write: %v, want %v", name, err, c.want)
		}
		if _, err = s.Conversation(t.Context(), far.Owner, "none", store.Range{}); !errors.Is(err, c.reads) {
			t.Errorf("%s: a read: %v, want %v", name, err, c.reads)
		}
		if err := s.Ping(t.Context()); !errors.Is(err, c.want) {
			t.Errorf("%s: Ping: %v, want %v", name, err, c.want)
		}
		if found := s.Shards(t.Context()); found.Up != 0 || !errors.Is(found.Worst, c.want) {
			t.Errorf("%s: Shards: %+v", name, found)
		}
	}
}

// Of many primaries it is told how many serve, and how many slots those have.
func TestShards(t *testing.T) {
	t.Parallel()
	const none = "$-1\r\n"
	nodes := startScripted(t, 3)
	whole := slotsReply(nodes[0].addr, nodes[1].addr, nodes[2].addr)
	for _, n := range nodes {
		n.will(always(none))
		n.tells(whole)
	}
	s := clusterOf(t, time.Second, nodes[0])
	third := slotCount / 3
	for name, c := range map[string]struct {
		replies []string
		want    store.Shards
	}{
		"well":              {[]string{none, none, none}, store.Shards{Up: 3, SlotsServed: slotCount}},
		"one is down":       {[]string{none, "-CLUSTERDOWN The cluster is down\r\n", none}, store.Shards{Up: 2, SlotsServed: slotCount - third, Worst: store.ErrNotReady}},
		"the last is hung":  {[]string{none, none, ""}, store.Shards{Up: 2, SlotsServed: slotCount - third - 1, Worst: store.ErrTimeout}},
		"two, and one lies": {[]string{"-OOM no\r\n", "+OK\r\n", none}, store.Shards{Up: 1, SlotsServed: third + 1, Worst: store.ErrProtocol}},
		"one is forbidden":  {[]string{"-NOPERM no\r\n", "-OOM no\r\n", none}, store.Shards{Up: 1, SlotsServed: third + 1, Worst: store.ErrAuth}},
		"all are down":      {slices.Repeat([]string{"-CLUSTERDOWN The cluster is down\r\n"}, 3), store.Shards{Worst: store.ErrNotReady}},
	} {
		for i, r := range c.replies {
			nodes[i].will(always(r))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		got := s.Shards(ctx)
		cancel()
		want := c.want
		if got.Up != want.Up || got.Total != 3 || got.SlotsServed != want.SlotsServed || got.SlotsTotal != slotCount || !errors.Is(got.Worst, want.Worst) {
			t.Errorf("%s: %+v", name, got)
		}
		if err := s.Ping(t.Context()); (err == nil) != (want.Up > 0) || err != nil && !errors.Is(err, want.Worst) {
			t.Errorf("%s: Ping: %v", name, err)
		}
	}
}

// Slots that nobody has are told although all primaries serve.
func TestUncoveredSlots(t *testing.T) {
	t.Parallel()
	nodes := startScripted(t, 1)
	both := strings.SplitAfter(slotsReply(nodes[0].addr, nodes[0].addr), "*3\r\n")
	nodes[0].tells("*1\r\n*3\r\n" + strings.TrimSuffix(both[1], "*3\r\n"))
	nodes[0].will(always("$-1\r\n"))
	s := clusterOf(t, time.Second, nodes[0])
	if got := s.Shards(t.Context()); got.Up != 1 || got.Total != 1 || got.SlotsServed != slotCount/2 || !errors.Is(got.Worst, store.ErrNotReady) {
		t.Errorf("%+v", got)
	}
	if _, err := s.List(t.Context(), ownerIn(1, 2).Owner, store.Page{}); !errors.Is(err, store.ErrNotReady) {
		t.Errorf("a call: %v", err)
	}
}
