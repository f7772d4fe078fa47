package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"time"

	"parley/server"
	"parley/store/redis"
	"parley/telemetry"
	"parley/telemetry/provider"
)

// openTelemetry makes what observes the service, and what that reports to. The
// latter has to be shut down, which sends what is left.
func openTelemetry(ctx context.Context, c config, log io.Writer) (*telemetry.Telemetry, *provider.Provider, error) {
	p, err := provider.New(ctx, provider.Options{Version: version(), Prometheus: c.prometheus, Log: log, Level: c.logLevel})
	if err != nil {
		return nil, nil, err
	}
	tel, err := telemetry.New(telemetry.Options{
		Tracers: p.Tracers, Meters: p.Meters, Version: version(),
		Class: server.Class, Classes: classes(), Routes: routes(), Patterns: server.Patterns(), Address: serverAddress(c.host), NoPropagation: !p.Propagates, OwnerKey: []byte(c.ownerKey), Trust: c.traceTrust,
	})
	return tel, p, err
}

// serverAddress is the name or address by which this server is known: what HOST says, or
// else the host's own name.
func serverAddress(host string) string {
	if ip, err := netip.ParseAddr(host); host != "" && (err != nil || !ip.IsUnspecified()) {
		return host
	}
	name, _ := os.Hostname() // without one, spans do not say
	return name
}

// classes is what telemetry has to know of the table of failures.
func classes() []telemetry.Class {
	var all []telemetry.Class
	for f := range server.Failures() {
		all = append(all, telemetry.Class{Name: f.Class, SpanError: f.SpanError})
	}
	return all
}

// routes are the routes whose requests telemetry counts from zero.
func routes() []telemetry.Route {
	var all []telemetry.Route
	for _, r := range server.Routes() {
		all = append(all, telemetry.Route{Method: r.Method, Pattern: r.Pattern})
	}
	return all
}

// observeAPI has a server report to telemetry what its requests come to.
func observeAPI(cfg *server.Config, tel *telemetry.Telemetry) {
	cfg.Traceparent, cfg.OwnerHash = tel.Traceparent, tel.OwnerHash
	cfg.OnCommitDropped = tel.CommitDropped
	cfg.OnDone = func(ctx context.Context, d server.Done) {
		tel.Done(ctx, telemetry.Outcome{
			Route: d.Route, Status: d.Status, Class: d.Class, Reason: string(d.Reason), Stage: string(d.Stage), API: d.API, Turn: d.Turn,
			Conversation: d.Conversation, RequestID: d.RequestID, OwnerHash: d.OwnerHash,
			Replayed: d.Replayed, JoinedSpan: d.JoinedSpan, Restarted: d.Restarted, AgentError: d.AgentError,
		})
	}
}

// observeRedis has metrics of what a Redis store says beside its calls.
func observeRedis(r *redis.Store, tel *telemetry.Telemetry) error {
	return errors.Join(tel.ObserveBreakers(r.BreakersOpen), tel.ObservePool(func() telemetry.Pool {
		p := r.Pool()
		return telemetry.Pool{
			Used: int64(p.Used), Idle: int64(p.Idle), Pending: int64(p.Pending), Max: int64(p.Max), IdleMin: int64(p.IdleMin),
			Timeouts: int64(p.Timeouts), Waits: int64(p.Waits), WaitSeconds: p.Waited.Seconds(),
		}
	}))
}

// redisTrace has the Redis client report what happens inside a call, and log what its
// circuit breaker finds out.
func redisTrace(tel *telemetry.Telemetry, log *slog.Logger) redis.Trace {
	var roundTrip func(context.Context, redis.RoundTrip) // nil is cheaper than one that does nothing
	if !tel.Off() {
		roundTrip = func(ctx context.Context, r redis.RoundTrip) {
			tel.StoreRoundTrip(ctx, telemetry.RoundTrip{Command: r.Command, Script: r.Script, Peer: r.Peer, Took: r.Took, Err: r.Err})
		}
	}
	moves := &moveLog{log: log}
	return redis.Trace{
		Moved:     moves.note,
		RoundTrip: roundTrip,
		Dialed:    tel.StoreDialed,
		Breaker: func(e redis.BreakerEvent) {
			attrs := []slog.Attr{
				slog.Int("shard", e.Shard), slog.Bool("open", e.Open), slog.String("reason", e.Reason),
				slog.Float64("took_ms", float64(e.Took)/float64(time.Millisecond)),
			}
			if e.Err != nil {
				attrs = append(attrs, slog.String("class", server.Class(e.Err)), slog.String("error", e.Err.Error()))
			}
			log.LogAttrs(context.Background(), slog.LevelWarn, "circuit breaker", attrs...)
		},
	}
}

// scrapesAtOnce is how many scrapes are answered at once on the public port. Each
// holds some 100 KB until its client has read it.
const scrapesAtOnce = 16

// withMetrics serves scrapes beside the API. They are no requests of its users,
// so they are neither traced nor counted nor logged.
func withMetrics(api http.Handler, s *server.Server, metrics http.Handler) http.Handler {
	if metrics == nil {
		return api
	}
	metrics = s.Bounded(metrics, scrapesAtOnce)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			metrics.ServeHTTP(w, r)
			return
		}
		api.ServeHTTP(w, r)
	})
}
