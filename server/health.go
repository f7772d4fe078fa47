package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"parley/store"
)

// HealthConfig configures a Health.
type HealthConfig struct {
	Backend string                      // "redis" or "memory"
	Ping    func(context.Context) error // asks the store; each call is bounded by Interval
	Version string
	// Warnings are conditions an operator should know although everything works,
	// e.g. an eviction policy that deletes conversations; nil for none.
	Warnings func() []string
	Interval time.Duration // between probes; 1 s when 0
	Now      func() time.Time
}

// Health has the state of the service, the store and the agent. Its answers come
// from the last probe, so requests for health never reach the store.
type Health struct {
	cfg   HealthConfig
	began time.Time

	mu       sync.Mutex
	probed   time.Time // zero before the first probe
	alive    bool      // what the last probe found
	since    time.Time // when that state began
	latency  time.Duration
	class    string // failure class of the last probe, "" when alive
	draining bool
	upstream upstreamHealth
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
	now := cfg.Now()
	return &Health{cfg: cfg, began: now, since: now, upstream: upstreamHealth{Outcome: "unknown"}}
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
	err := store.AsTimeout("Ping", h.cfg.Ping(probe))
	if errors.Is(err, store.ErrOverloaded) {
		err = nil // the store answers; it is this service that is busy
	}
	if ctx.Err() != nil {
		return // the end of Run says nothing about the store
	}
	now := h.cfg.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if alive := err == nil; h.probed.IsZero() || alive != h.alive {
		h.alive, h.since = alive, now
	}
	h.probed, h.latency, h.class = now, now.Sub(began), Class(err)
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
	h.upstream = upstreamHealth{Outcome: class, At: isoTime(h.cfg.Now())}
}

// storeHealth is the state of the store.
type storeHealth struct {
	Backend   string  `json:"backend"`
	LatencyMs float64 `json:"latencyMs"`
	LastError *string `json:"lastError"` // a failure class; null while connected
	Since     string  `json:"since"`     // when the present state began
}

// healthReport is the body of /health.
type healthReport struct {
	Status        string         `json:"status"` // ok or degraded
	Redis         string         `json:"redis"`  // connected, disconnected or not_configured
	Store         storeHealth    `json:"store"`
	Upstream      upstreamHealth `json:"upstream"`
	AuthRequired  bool           `json:"authRequired"`
	Version       string         `json:"version"`
	UptimeSeconds int64          `json:"uptimeSeconds"`
	Warnings      []string       `json:"warnings,omitempty"`
}

// report is the body of /health, from the last probe.
func (h *Health) report() healthReport {
	warnings := h.cfg.Warnings()
	now := h.cfg.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	alive, class := h.storeAlive(now)
	r := healthReport{
		Status: "ok", Redis: "connected",
		Store:    storeHealth{Backend: h.cfg.Backend, LatencyMs: millis(h.latency), Since: isoTime(h.since)},
		Upstream: h.upstream, Version: h.cfg.Version, UptimeSeconds: int64(now.Sub(h.began).Seconds()),
		Warnings: warnings,
	}
	if class != "" {
		r.Store.LastError = &class
	}
	switch {
	case h.cfg.Backend != "redis":
		r.Redis = "not_configured"
	case !alive:
		r.Status, r.Redis = "degraded", disconnected
	}
	return r
}

// storeAlive uses the last probe only while it is recent. A probe that hangs in
// spite of its limit must not keep an old result alive.
func (h *Health) storeAlive(now time.Time) (bool, string) {
	if !h.probed.IsZero() && now.Sub(h.probed) > 5*h.cfg.Interval {
		return false, classStoreTimeout
	}
	return h.alive, h.class
}

// StoreAlive reports what the last probe found of the store; false before the
// first.
func (h *Health) StoreAlive() bool {
	now := h.cfg.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	alive, _ := h.storeAlive(now)
	return alive
}

// unready is the reason why the service is not ready for requests, "" if it is.
func (h *Health) unready() string {
	now := h.cfg.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	alive, _ := h.storeAlive(now)
	switch {
	case h.draining:
		return "draining"
	case h.probed.IsZero():
		return "starting"
	case !alive:
		return disconnected
	}
	return ""
}

// disconnected is why a service is unready whose store does not answer.
const disconnected = "disconnected"
