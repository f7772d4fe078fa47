package server

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/store"
)

// sharded is a Health over a store whose shards are as found says.
func sharded(t *testing.T, found *store.Shards) (*Health, *harness) {
	t.Helper()
	health := NewHealth(HealthConfig{
		Backend: "redis", Version: "v1",
		Ping:     func(context.Context) error { t.Error("a store with shards is pinged"); return nil },
		Shards:   func(context.Context) store.Shards { return *found },
		Warnings: func() []string { return []string{"of the settings"} },
	})
	return health, newHarness(t, nil, func(c *Config) { c.Health = health })
}

// The state of a store with shards is that of its shards: while one serves, the service is
// ready, and says what does not.
func TestHealthOfShards(t *testing.T) {
	hung := &store.Error{Op: "Shards", Kind: store.ErrTimeout, Cause: errors.New(secret)}
	wrong := &store.Error{Op: "Shards", Kind: store.ErrMisconfigured, Cause: errors.New(secret)}
	for name, c := range map[string]struct {
		found         store.Shards
		status        int
		state, redis  string
		ready, class  string
		warns         string
		up, servedAll int
	}{
		"all serve":                  {store.Shards{Up: 3, Total: 3, SlotsServed: 16384, SlotsTotal: 16384}, 200, "ok", "connected", "ready", "", "", 3, 16384},
		"one is hung":                {store.Shards{Up: 2, Total: 3, SlotsServed: 10923, SlotsTotal: 16384, Worst: hung}, 200, "degraded", "partial", "ready", "store_timeout", "2 of 3 shards", 2, 10923},
		"one is left":                {store.Shards{Up: 1, Total: 40, SlotsServed: 410, SlotsTotal: 16384, Worst: hung}, 200, "degraded", "partial", "ready", "store_timeout", "410 of 16384 slots", 1, 410},
		"slots that nobody has":      {store.Shards{Up: 3, Total: 3, SlotsServed: 16000, SlotsTotal: 16384, Worst: &store.Error{Kind: store.ErrNotReady}}, 200, "degraded", "partial", "ready", "store_not_ready", "16000 of 16384", 3, 16000},
		"slots missing without word": {store.Shards{Up: 3, Total: 3, SlotsServed: 16383, SlotsTotal: 16384}, 200, "degraded", "partial", "ready", "store_not_ready", "16383 of 16384", 3, 16383},
		"none serves":                {store.Shards{Total: 3, SlotsTotal: 16384, Worst: hung}, 503, "degraded", "disconnected", "disconnected", "store_timeout", "", 0, 0},
		"no map":                     {store.Shards{SlotsTotal: 16384, Worst: hung}, 503, "degraded", "disconnected", "disconnected", "store_timeout", "", 0, 0},
		"no cluster":                 {store.Shards{Worst: wrong}, 503, "degraded", "disconnected", "disconnected", "store_misconfigured", "", 0, 0},
		"no word":                    {store.Shards{}, 503, "degraded", "disconnected", "disconnected", "store_not_ready", "", 0, 0},
		"no map, and no processor":   {store.Shards{Worst: &store.Error{Kind: store.ErrOverloaded}}, 503, "degraded", "disconnected", "starting", "", "", 0, 0},
		"the caller's own deadline":  {store.Shards{Worst: context.DeadlineExceeded}, 503, "degraded", "disconnected", "disconnected", "store_timeout", "", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			found := c.found
			health, w := sharded(t, &found)
			if s := field[storeHealth](t, w.must(503, get("/health")), "store"); s.Shards == nil || s.Shards.Total != 0 {
				t.Errorf("before the first probe: %+v", s)
			}
			health.Probe(t.Context())
			rec := w.must(c.status, get("/health"))
			s := field[storeHealth](t, rec, "store")
			if field[string](t, rec, "status") != c.state || field[string](t, rec, "redis") != c.redis {
				t.Errorf("%s", rec.Body)
			}
			if s.Shards == nil || s.Slots == nil || *s.Shards != (shardHealth{c.up, c.found.Total}) || *s.Slots != (slotHealth{c.servedAll, c.found.SlotsTotal}) {
				t.Errorf("store %+v", s)
			}
			if (s.LastError == nil) != (c.class == "") || s.LastError != nil && *s.LastError != c.class {
				t.Errorf("class %v, want %q", s.LastError, c.class)
			}
			want := 503
			if c.ready == "ready" {
				want = 200
			}
			ready := w.must(want, get("/readyz"))
			if got := field[string](t, ready, "status"); got != c.ready {
				t.Errorf("readyz says %q", got)
			}
			for _, warnings := range [][]string{field[[]string](t, rec, "warnings"), field[[]string](t, ready, "warnings")} {
				said := slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, "shards") })
				if said != (c.warns != "") || !strings.Contains(strings.Join(warnings, ";"), c.warns) || warnings[0] != "of the settings" {
					t.Errorf("warnings %q", warnings)
				}
			}
			if all := rec.Body.String() + ready.Body.String(); strings.Contains(all, "internal") || strings.Contains(all, "s3cr3t") {
				t.Errorf("names a host: %s", all)
			}
			if alive := health.StoreAlive(); alive != (c.up > 0) {
				t.Errorf("alive: %v", alive)
			}
		})
	}
}

// A state of the shards has a beginning of its own, and ends when nobody looks any more.
func TestShardsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		found := store.Shards{Up: 2, Total: 2, SlotsServed: 16384, SlotsTotal: 16384}
		h := NewHealth(HealthConfig{Backend: "redis", Shards: func(context.Context) store.Shards { return found }})
		since := func() string { return h.report().Store.Since }
		h.Probe(t.Context())
		whole := since()
		time.Sleep(time.Second)
		found.Up, found.SlotsServed = 1, 8192
		h.Probe(t.Context())
		hurt := since()
		time.Sleep(time.Second)
		h.Probe(t.Context())
		if hurt == whole || since() != hurt {
			t.Errorf("partial since %s, whole since %s", since(), whole)
		}
		time.Sleep(time.Minute)
		if r := h.report(); r.Redis != disconnected || *r.Store.LastError != classStoreTimeout || r.Store.Shards.Up != 0 || r.Store.Slots.Served != 0 || len(r.Warnings) != 0 {
			t.Errorf("nobody has looked for a minute: %+v", r)
		}
	})
}

// A store without shards is one shard for the metrics, and has no shards in /health.
func TestOneShard(t *testing.T) {
	var down error
	h := NewHealth(HealthConfig{Backend: "redis", Ping: func(context.Context) error { return down }})
	for _, c := range []struct {
		down error
		want store.Shards
	}{
		{nil, store.Shards{Up: 1, Total: 1}},
		{&store.Error{Kind: store.ErrUnreachable}, store.Shards{Total: 1}},
		{&store.Error{Kind: store.ErrOverloaded}, store.Shards{Up: 1, Total: 1}},
	} {
		down = c.down
		h.Probe(t.Context())
		if got, r := h.Shards(), h.report(); got != c.want || r.Store.Shards != nil || r.Store.Slots != nil {
			t.Errorf("%v: %+v, %+v", c.down, got, r.Store)
		}
	}
}
