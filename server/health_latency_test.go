package server

import (
	"context"
	"testing"
	"time"

	"parley/store"
)

// A time is shown only of a probe that the store answered. Of one that failed, or was
// refused by a circuit breaker, it would be taken for the store's.
func TestLatencyIsTheStores(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 15, 4, 0, time.UTC)
	var err error
	h := NewHealth(HealthConfig{Backend: "redis", Now: func() time.Time { return now }, Ping: func(context.Context) error {
		now = now.Add(3 * time.Millisecond)
		return err
	}})
	if r := h.report(); r.Store.LatencyMs != nil {
		t.Errorf("before the first probe: %v ms", *r.Store.LatencyMs)
	}
	for _, c := range []struct {
		name    string
		err     error
		known   bool
		breaker string
	}{
		{"it answers", nil, true, ""},
		{"it does not", &store.Error{Kind: store.ErrTimeout}, false, ""},
		{"the breaker is open", &store.Error{Kind: store.ErrTimeout, BreakerOpen: true}, false, "open"},
		{"it answers again", nil, true, ""},
	} {
		err = c.err
		h.Probe(t.Context())
		r := h.report()
		if known := r.Store.LatencyMs != nil && *r.Store.LatencyMs == 3; known != c.known || !c.known && r.Store.LatencyMs != nil || r.Store.Breaker != c.breaker {
			t.Errorf("%s: %+v", c.name, r.Store)
		}
	}
	now = now.Add(time.Minute)
	if r := h.report(); r.Store.LatencyMs != nil {
		t.Errorf("a probe that is long ago: %v ms", *r.Store.LatencyMs)
	}
}

// With shards, of a probe that all of them answered.
func TestLatencyOfShards(t *testing.T) {
	found := store.Shards{Up: 2, Total: 3, SlotsServed: 2, SlotsTotal: 3, Worst: &store.Error{Kind: store.ErrUnreachable}}
	h := NewHealth(HealthConfig{Backend: "redis", Shards: func(context.Context) store.Shards { return found }})
	h.Probe(t.Context())
	if r := h.report(); r.Store.LatencyMs != nil {
		t.Errorf("%v ms", *r.Store.LatencyMs)
	}
	found = store.Shards{Up: 3, Total: 3, SlotsServed: 3, SlotsTotal: 3}
	h.Probe(t.Context())
	if r := h.report(); r.Store.LatencyMs == nil {
		t.Error("all answer, and there is no time")
	}
}
