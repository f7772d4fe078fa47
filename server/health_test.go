package server

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"parley/server/copilot"
	"parley/store"
)

// RESIL-02: /health reports the state of Redis, from the last probe.
func TestHealthOfRedis(t *testing.T) {
	now := epoch
	var down error
	pings := 0
	health := NewHealth(HealthConfig{
		Backend: "redis", Version: "v1", Now: func() time.Time { return now },
		Ping:     func(context.Context) error { pings++; return down },
		Warnings: func() []string { return []string{"eviction policy is allkeys-lru"} },
	})
	w := newHarness(t, failingAgent(&copilot.Error{Op: "turn", Kind: copilot.ErrThrottled}), func(c *Config) { c.Health = health })

	expect := func(status int, redis, ready string) {
		t.Helper()
		rec := w.must(status, get("/health"))
		if got := field[string](t, rec, "redis"); got != redis {
			t.Errorf("redis %q, want %q: %s", got, redis, rec.Body)
		}
		want := 503
		if ready == "ready" {
			want = 200
		}
		if got := field[string](t, w.must(want, get("/readyz")), "status"); got != ready {
			t.Errorf("readyz says %q, want %q", got, ready)
		}
		w.must(200, get("/livez"))
	}
	expect(503, "disconnected", "starting")

	health.Probe(t.Context())
	expect(200, "connected", "ready")

	now = now.Add(time.Second)
	down = &store.Error{Op: "Ping", Kind: store.ErrNotReady, Cause: errors.New(secret)}
	health.Probe(t.Context())
	now = now.Add(time.Second)
	health.Probe(t.Context())
	expect(503, "disconnected", "disconnected")
	s := field[storeHealth](t, w.do(get("/health")), "store")
	if s.LastError == nil || *s.LastError != "store_not_ready" || s.Since != "2026-03-02T09:15:05.120Z" {
		t.Errorf("store %+v", s)
	}

	down = &store.Error{Op: "Ping", Kind: store.ErrOverloaded} // no connection was free for it
	health.Probe(t.Context())
	expect(200, "connected", "ready")

	down = nil
	health.Probe(t.Context())
	expect(200, "connected", "ready")
	rec := w.do(get("/health"))
	if s := field[storeHealth](t, rec, "store"); s.LastError != nil || len(field[[]string](t, rec, "warnings")) != 1 || field[int](t, rec, "uptimeSeconds") != 2 {
		t.Errorf("%s", rec.Body)
	}

	now = now.Add(time.Minute) // the prober hangs
	expect(503, "disconnected", "disconnected")
	health.Probe(t.Context())

	w.must(502, send(w.start(), "x"))
	if u := field[upstreamHealth](t, w.do(get("/health")), "upstream"); u.Outcome != "upstream_throttled" || u.At == "" {
		t.Errorf("upstream %+v", u)
	}
	asked := pings
	for range 100 {
		w.do(get("/health"))
	}
	if pings != asked {
		t.Error("asking for health asks the store")
	}
	health.SetDraining()
	expect(200, "connected", "draining")
}

// A process that had no processor says nothing against the store; and it believes a
// probe that did not come back as long as that may be why.
func TestHealthOfAStarvedProcess(t *testing.T) {
	good := map[bool]store.Shards{true: {Up: 3, Total: 3}, false: {Up: 1, Total: 1}}
	for name, c := range map[string]struct {
		err     error
		starved bool
		excused bool
	}{
		"the call was never made":            {context.DeadlineExceeded, true, true},
		"and the process had its processors": {context.DeadlineExceeded, false, false},
		"the store says it was this process": {errors.Join(&store.Error{Kind: store.ErrOverloaded}, context.DeadlineExceeded), true, true},
		"the store did not answer":           {&store.Error{Kind: store.ErrTimeout, Cause: context.DeadlineExceeded}, true, false},
	} {
		for _, sharded := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, sharded %v", name, sharded), func(t *testing.T) {
				now, fails := epoch, true
				ask := func() error {
					now = now.Add(2 * time.Second)
					if fails {
						return c.err
					}
					return nil
				}
				cfg := HealthConfig{
					Backend: "redis", Now: func() time.Time { return now },
					Ping:    func(context.Context) error { return ask() },
					Starved: func(within time.Duration) bool { return c.starved && within >= 2*time.Second },
				}
				if sharded {
					cfg.Shards = func(context.Context) store.Shards {
						if err := ask(); err != nil {
							return store.Shards{Worst: err}
						}
						return good[true]
					}
				}
				h := NewHealth(cfg)
				h.Probe(t.Context())
				if h.StoreAlive() || h.unready() == "" {
					t.Error("it is alive, and nobody has heard it")
				}
				fails = false
				h.Probe(t.Context())
				if !h.StoreAlive() {
					t.Error("it answers, and is not alive")
				}
				fails = true
				for range 10 { // each is as good as a recent one
					h.Probe(t.Context())
				}
				if h.StoreAlive() != c.excused || c.excused && h.Shards() != good[sharded] {
					t.Errorf("alive %v, %+v", h.StoreAlive(), h.Shards())
				}
			})
		}
	}
}

// That no probe was made for long is excused likewise.
func TestStaleHealthOfAStarvedProcess(t *testing.T) {
	now, starved := epoch, true
	h := NewHealth(HealthConfig{
		Backend: "redis", Now: func() time.Time { return now }, Ping: func(context.Context) error { return nil },
		Starved: func(time.Duration) bool { return starved },
	})
	h.Probe(t.Context())
	now = now.Add(time.Minute)
	if why := h.unready(); why != "" {
		t.Errorf("no probe for a minute in a starved process: %s", why)
	}
	starved = false
	if why := h.unready(); why != disconnected {
		t.Errorf("no probe for a minute: %q", why)
	}
}

func TestHealthOfMemory(t *testing.T) {
	w := newHarness(t, nil)
	rec := w.must(200, get("/health"))
	if field[string](t, rec, "redis") != "not_configured" || field[string](t, rec, "status") != "ok" {
		t.Error(rec.Body)
	}
}

func TestProber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var took []time.Duration
		h := NewHealth(HealthConfig{Backend: "redis", Ping: func(ctx context.Context) error {
			began := time.Now()
			<-ctx.Done() // a store that hangs
			took = append(took, time.Since(began))
			return ctx.Err()
		}})
		ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
		defer cancel()
		h.Run(ctx)
		if len(took) != 4 || took[0] != time.Second {
			t.Errorf("probes took %v", took)
		}
		if state, class := h.storeState(time.Now()); state != disconnected || class != classStoreTimeout {
			t.Errorf("state %q, class %q", state, class)
		}
	})
}
