package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"parley/store"
)

// HealthConfig configures a Health.
type HealthConfig struct {
	Backend string                      // "redis" or "memory"
	Ping    func(context.Context) error // asks the store; each call is bounded by Interval
	// Shards asks every shard of a store, in place of Ping and likewise
	// bounded; nil for a store that has none.
	Shards  func(context.Context) store.Shards
	Version string
	// Starved reports whether this process, within that time until now, waited so long
	// for a processor that it may be why the store was not heard; nil for never.
	Starved func(within time.Duration) bool
	// Warnings are conditions an operator should know although everything works,
	// e.g. an eviction policy that deletes conversations; nil for none.
	Warnings func() []string
	Log      *slog.Logger  // told of changes of the store's state; nil discards
	Interval time.Duration // between probes; 1 s when 0
	Now      func() time.Time
}

// Health has the state of the service, the store and the agent. Its answers come
// from the last probe, so requests for health never reach the store.
type Health struct {
	cfg   HealthConfig
	began time.Time

	mu       sync.Mutex
	probed   time.Time    // zero before the first probe
	state    string       // what the last probe found: connected, partial or disconnected
	since    time.Time    // when that state began
	shards   store.Shards // what it found of the shards
	latency  time.Duration
	class    string // failure class of the last probe, "" when connected
	open     bool   // the last probe was refused by a circuit breaker
	draining bool
	upstream string    // outcome of the last call of the agent
	askedAt  time.Time // of that call's end; zero before the first
	changes  stateLog
}

// upstreamHealth is the outcome of the last call of the agent.
type upstreamHealth struct {
	Outcome string `json:"outcome"` // ok, a failure class, or unknown
	At      string `json:"at,omitempty"`
}

// NewHealth makes a Health that has probed nothing yet: it is not ready until
// Run has found the store alive.
func NewHealth(cfg HealthConfig) *Health {
	if cfg.Interval == 0 {
		cfg.Interval = time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Warnings == nil {
		cfg.Warnings = func() []string { return nil }
	}
	if cfg.Starved == nil {
		cfg.Starved = func(time.Duration) bool { return false }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	now := cfg.Now()
	return &Health{
		cfg: cfg, began: now, state: disconnected, since: now, upstream: "unknown", changes: stateLog{log: cfg.Log},
	}
}

// Run probes until ctx is done. The caller owns the goroutine.
func (h *Health) Run(ctx context.Context) {
	tick := time.NewTicker(h.cfg.Interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		h.Probe(ctx)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// Probe asks the store once, now.
func (h *Health) Probe(ctx context.Context) {
	began := h.cfg.Now()
	probe, cancel := context.WithTimeout(ctx, h.cfg.Interval)
	defer cancel()
	state, shards, err := h.look(probe)
	if ctx.Err() != nil {
		return // the end of Run says nothing about the store
	}
	now := h.cfg.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if state == disconnected && h.busy(err, now.Sub(began)) {
		if !h.probed.IsZero() {
			h.probed = now
		}
		return
	}
	if h.probed.IsZero() || state != h.state {
		h.state, h.since = state, now
	}
	refused, ok := errors.AsType[*store.Error](err)
	h.open = ok && refused.BreakerOpen
	err = store.AsTimeout("Probe", err)
	h.probed, h.latency, h.shards, h.class = now, now.Sub(began), shards, Class(err)
	h.changes.note(now, h.state, h.class, shards, err)
}

// busy reports whether it was for this process that a probe failed. Such a probe tells
// nothing for or against the store, and what was known stays.
func (h *Health) busy(err error, took time.Duration) bool {
	return errors.Is(err, store.ErrOverloaded) || errors.Is(err, context.DeadlineExceeded) && h.cfg.Starved(took)
}

// look asks the store. err says why it is not connected as a whole.
func (h *Health) look(ctx context.Context) (state string, shards store.Shards, err error) {
	if h.cfg.Shards == nil {
		shards.Total = 1
		err = h.cfg.Ping(ctx)
		if errors.Is(err, store.ErrOverloaded) && !errors.Is(err, context.DeadlineExceeded) {
			err = nil // it answers, to those that have all connections in use
		}
		if err != nil {
			return disconnected, shards, err
		}
		shards.Up = 1
		return connected, shards, nil
	}
	shards = h.cfg.Shards(ctx)
	if shards.Up > 0 && shards.Up == shards.Total && shards.SlotsServed == shards.SlotsTotal {
		return connected, shards, nil
	}
	if err = shards.Worst; err == nil {
		err = &store.Error{Op: "Shards", Kind: store.ErrNotReady} // something is missing, and nobody says why
	}
	if shards.Up > 0 {
		return partial, shards, err
	}
	return disconnected, shards, err
}

// SetDraining makes the service not ready, for good: it is about to stop.
func (h *Health) SetDraining() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining = true
}

// isDraining reports whether SetDraining was called.
func (h *Health) isDraining() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.draining
}

// sawUpstream records the outcome of a call of the agent: a failure class, or "".
func (h *Health) sawUpstream(class string) {
	if class == "" {
		class = "ok"
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.upstream, h.askedAt = class, h.cfg.Now()
}

// storeHealth is the state of the store.
type storeHealth struct {
	Backend string `json:"backend"`
	// LatencyMs is how long the last probe took; null unless the store as a whole
	// answered it. How long a failure took is no latency of the store.
	LatencyMs *float64     `json:"latencyMs"`
	Breaker   string       `json:"breaker,omitempty"` // open, if the last probe was refused by a circuit breaker
	LastError *string      `json:"lastError"`         // a failure class, of several shards the worst; null while connected
	Since     string       `json:"since"`             // when the present state began
	Shards    *shardHealth `json:"shards,omitempty"`
	Slots     *slotHealth  `json:"slots,omitempty"`
}

// shardHealth says how many shards of a store serve.
type shardHealth struct {
	Up    int `json:"up"`
	Total int `json:"total"` // 0 while nobody knows how the store is divided
}

// slotHealth says how many slots those have.
type slotHealth struct {
	Served int `json:"served"`
	Total  int `json:"total"`
}

// healthReport is the body of /health.
type healthReport struct {
	Status        string         `json:"status"` // ok or degraded
	Redis         string         `json:"redis"`  // connected, partial, disconnected or not_configured
	Store         storeHealth    `json:"store"`
	Upstream      upstreamHealth `json:"upstream"`
	AuthRequired  bool           `json:"authRequired"`
	Version       string         `json:"version"`
	UptimeSeconds int64          `json:"uptimeSeconds"`
	Warnings      []string       `json:"warnings,omitempty"`
}

// report is the body of /health, from the last probe.
func (h *Health) report() healthReport {
	warnings := h.warnings()
	now := h.cfg.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	state, class := h.storeState(now)
	r := healthReport{
		Status: "ok", Redis: state,
		Store:    storeHealth{Backend: h.cfg.Backend, Since: isoTime(h.since)},
		Upstream: upstreamHealth{Outcome: h.upstream}, Version: h.cfg.Version, UptimeSeconds: int64(now.Sub(h.began).Seconds()),
		Warnings: warnings,
	}
	if class != "" {
		r.Store.LastError = &class
	}
	if !h.askedAt.IsZero() {
		r.Upstream.At = isoTime(h.askedAt)
	}
	if state == connected {
		took := millis(h.latency)
		r.Store.LatencyMs = &took
	}
	if h.open && !h.stale(now) {
		r.Store.Breaker = "open"
	}
	if h.cfg.Shards != nil {
		shards := h.found(now)
		r.Store.Shards = &shardHealth{Up: shards.Up, Total: shards.Total}
		r.Store.Slots = &slotHealth{Served: shards.SlotsServed, Total: shards.SlotsTotal}
	}
	switch {
	case h.cfg.Backend != "redis":
		r.Redis = "not_configured"
	case state != connected:
		r.Status = "degraded"
	}
	return r
}

// storeState uses the last probe only while it is recent, unless this process had no
// time for another. A probe that hangs in spite of its limit must not keep an old
// result alive.
func (h *Health) storeState(now time.Time) (state, class string) {
	if h.stale(now) {
		return disconnected, classStoreTimeout
	}
	return h.state, h.class
}

// found is what the last probe found of the shards, likewise.
func (h *Health) found(now time.Time) store.Shards {
	shards := h.shards
	if h.stale(now) {
		shards.Up, shards.SlotsServed = 0, 0
	}
	return shards
}

func (h *Health) stale(now time.Time) bool {
	age := now.Sub(h.probed)
	return !h.probed.IsZero() && age > 5*h.cfg.Interval && !h.cfg.Starved(age)
}

// StoreAlive reports whether the last probe found anything of the store that serves;
// false before the first.
func (h *Health) StoreAlive() bool {
	now := h.cfg.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	state, _ := h.storeState(now)
	return state != disconnected
}

// Shards is what the last probe found of the shards of the store. One that has none
// is one shard without slots.
func (h *Health) Shards() store.Shards {
	now := h.cfg.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.found(now)
}

// warnings are those of the configuration, and one while a shard of the store does not
// serve. They name no host.
func (h *Health) warnings() []string {
	warnings := h.cfg.Warnings()
	now := h.cfg.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if state, class := h.storeState(now); state == partial {
		warnings = append(slices.Clone(warnings), fmt.Sprintf("%d of %d shards of Redis serve, with %d of %d slots: the conversations of some users cannot be reached (%s)",
			h.shards.Up, h.shards.Total, h.shards.SlotsServed, h.shards.SlotsTotal, class))
	}
	return warnings
}

// unready is the reason why the service is not ready for requests, "" if it is.
func (h *Health) unready() string {
	now := h.cfg.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	state, _ := h.storeState(now)
	switch {
	case h.draining:
		return "draining"
	case h.probed.IsZero():
		return "starting"
	case state == disconnected:
		return disconnected
	}
	return ""
}

// The states of the store. A service is unready whose store is disconnected: of what
// is left of a store that is partial, most users can make use.
const (
	connected    = "connected"
	partial      = "partial"
	disconnected = "disconnected"
)
