package main

import (
	"io"
	"net"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"parley/contracttest/matrix"
	"parley/contracttest/ports"
	"parley/contracttest/redistest"
	"parley/server/copilot/emulator"
)

// How long attacks last. All at once begin with a burst, in which more comes than a
// hundredth of what comes in a few seconds: of so little, the p99 would be the burst's.
const (
	attackFor        = 2 * time.Second
	togetherOnRedis  = time.Minute
	togetherInMemory = 20 * time.Second
)

// attackedSite runs the program as a process with sign-in, an agent and a store, for attacks
// that need these settings.
func attackedSite(t *testing.T, redis *redistest.Server, deaf bool, connections int, more ...string) matrix.Site {
	t.Helper()
	web := httptest.NewServer(emulator.New(emulator.Options{Token: "stub"}))
	t.Cleanup(func() { web.CloseClientConnections(); web.Close() })
	var shared matrix.Redis
	if redis != nil {
		shared = redis
	}
	s, issuer, static := matrix.NewSite(t, shared, connections)
	settings := append(signIn(t, issuer,
		"COPILOT_DIRECT_CONNECT_URL", web.URL+"/agent", "COPILOT_STUB_TOKEN", "stub", "COPILOT_TIMEOUT", "5000",
		"ALLOWED_TENANT_IDS", matrix.AttackingTenant+","+matrix.OtherTenant,
		"METRICS_PROMETHEUS", "true", "STATIC_DIR", static, "ADMIN_PORT", ports.Of(t).Number, "REDIS_PREFIX", s.Prefix, "SHUTDOWN_TIMEOUT", "1",
	), more...)
	if redis != nil {
		settings = append(settings, "REDIS_URL", s.ThroughProxy(redis))
	}
	var stderr io.Writer
	if deaf {
		_, stderr = pipe(t)
	}
	base, cmd := processWith(t, stderr, settings...)
	s.Base, s.Admin, s.PID = base, base, cmd.Process.Pid
	// The last one of a name counts.
	if last := lastOf(settings, "ADMIN_PORT"); last != "" {
		s.Admin = "http://" + net.JoinHostPort(ports.Host, last)
	}
	return s
}

// lastOf is the last value of a name among pairs.
func lastOf(pairs []string, name string) (value string) {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] == name {
			value = pairs[i+1]
		}
	}
	return value
}

// attacked has a service attacked that runs with these settings beside the attack's.
func attacked(t *testing.T, redis *redistest.Server, a matrix.Attack, more ...string) matrix.AttackEntry {
	t.Helper()
	s := attackedSite(t, redis, a.Deaf, 200, slices.Concat(a.Settings, more)...)
	return matrix.RunAttacks(t, s, []matrix.Attack{a}, attackFor, raceFactor == 1)
}

// sampledAttacks are tried without -matrix.all.
var sampledAttacks = []string{"bodies", "conversations"}

// What one tenant does is no outage for another, and is not blamed on Redis: attack
// by attack, then all at once. Memory is judged without the race detector only.
func TestCallers(t *testing.T) {
	report := &matrix.CallersReport{Made: time.Now().UTC().Truncate(time.Second)}
	add := func(t *testing.T, e matrix.AttackEntry) {
		t.Helper()
		report.Attacks = append(report.Attacks, e)
		for _, b := range e.Broken {
			t.Errorf("%s", b)
		}
	}
	redis := redistest.Start(t)
	for _, a := range matrix.Attacks() {
		for _, r := range []*redistest.Server{redis, nil} {
			name := "redis"
			if r == nil {
				name = "memory"
			}
			if r != nil && !a.OnRedis || r == nil && !a.InMemory || !*allRows && (!slices.Contains(sampledAttacks, a.ID) || r == nil) {
				continue
			}
			t.Run(a.ID+"-"+name, func(t *testing.T) { add(t, attacked(t, r, a)) })
		}
	}
	together := func(name string, r *redistest.Server, lasting time.Duration) {
		t.Run(name, func(t *testing.T) {
			switch {
			case !*allRows:
				t.Skip("takes a minute: make contract runs it")
			case raceFactor > 1:
				t.Skip("the race detector takes the processors that all this needs: make contract runs it without")
			}
			attacks := matrix.Together()
			if r == nil {
				attacks = slices.DeleteFunc(attacks, func(a matrix.Attack) bool { return !a.InMemory })
			}
			e := matrix.RunAttacks(t, attackedSite(t, r, true, 500), attacks, lasting, raceFactor == 1)
			e.ID, e.About, e.Promise = "together", "makes all attacks that need no settings of their own at once, for "+lasting.String(), "every promise above"
			add(t, e)
		})
	}
	together("together", redis, togetherOnRedis)
	together("together-memory", nil, togetherInMemory)
	if *reportDir == "" {
		return
	}
	if err := report.WriteFiles(*reportDir); err != nil {
		t.Error(err)
	}
}
