package main

import (
	"strconv"
	"testing"

	"parley/contracttest/apirules"
	"parley/contracttest/matrix"
	"parley/contracttest/redistest"
)

// subject is this program, run as a process with more settings, for the rules of the API.
func subject(t *testing.T, redis matrix.Redis, more ...string) apirules.Subject {
	t.Helper()
	d, err := document()
	if err != nil {
		t.Fatal(err)
	}
	own := func(tb testing.TB, flags ...string) matrix.Redis { tb.Helper(); return redistest.Start(tb, flags...) }
	return apirules.Subject{Document: d, Redis: redis, OwnRedis: own, Start: func(tb testing.TB, w apirules.Wiring) apirules.Instance {
		tb.Helper()
		settings := []string{
			"REDIS_TTL", seconds(w.TTL.Seconds()), "TURN_WAIT", seconds(w.TurnWait.Seconds()), "SHUTDOWN_TIMEOUT", "1",
			"COPILOT_DIRECT_CONNECT_URL", w.AgentURL, "COPILOT_STUB_TOKEN", "stub",
		}
		if w.RedisURL != "" {
			settings = append(settings, pairs(w.Settings)...)
		}
		if w.Issuer != "" {
			settings = append(settings, "AUTH_REQUIRED", "true", "AUTH_ISSUER", w.Issuer, "AUTH_JWKS_URL", w.IssuerKeys,
				"AZURE_CLIENT_ID", w.Audience, "ALLOWED_TENANT_IDS", w.Tenants, "SSL_CERT_FILE", w.IssuerCAFile)
		}
		if w.OTLP != "" {
			settings = append(settings, "OTEL_EXPORTER_OTLP_ENDPOINT", w.OTLP, "OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf",
				"OTEL_BSP_SCHEDULE_DELAY", "100", "OTEL_METRIC_EXPORT_INTERVAL", "200")
		}
		var log sharedBuffer
		base, cmd := processWith(tb, &log, append(settings, more...)...)
		return apirules.Instance{Base: base, Log: log.String, Kill: func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}}
	}}
}

func seconds(s float64) string { return strconv.Itoa(int(s)) }

// Every rule of the API holds, on Redis and, where the slow tests run, in memory.
func TestRulesOfTheAPI(t *testing.T) {
	slow(t)
	for name, redis := range map[string]func(t *testing.T) matrix.Redis{
		"redis":  func(t *testing.T) matrix.Redis { t.Helper(); return redistest.Start(t) },
		"memory": func(*testing.T) matrix.Redis { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			if name == "memory" {
				slow(t)
			}
			s := subject(t, redis(t))
			for _, r := range apirules.Rules() {
				t.Run(r.ID, func(t *testing.T) {
					t.Parallel()
					apirules.Check(t, s, r)
				})
			}
		})
	}
}
