package main

import (
	"flag"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/contracttest/matrix"
	"parley/contracttest/redistest"
	"parley/server"
	"parley/store"
	"parley/store/redis"
)

var (
	reportDir = flag.String("matrix.report", "", "directory to write the fault matrix to, as HTML and JSON")
	rounds    = flag.Int("matrix.rounds", 1, "how often each cell of the fault matrix is tried")
	allRows   = flag.Bool("matrix.all", false, "try all rows of the fault matrix, not a sample of every failure class, and its mutants")
)

// target is this program, as run wires it together.
func target() matrix.Target {
	return matrix.Target{
		Class: server.Class,
		Service: func(tb testing.TB, w matrix.Settings) string {
			return startService(tb, io.Discard, pairs(w)...)
		},
		Store: func(tb testing.TB, w matrix.Settings) store.Store {
			tb.Helper()
			return openRedis(tb, w)
		},
	}
}

// pairs are the settings of a service that is wired like this.
func pairs(w matrix.Settings) []string {
	return []string{
		"REDIS_URL", w.RedisURL, "REDIS_CA_FILE", w.CAFile, "REDIS_PREFIX", w.Prefix,
		"REDIS_TIMEOUT", strconv.FormatInt(w.Timeout.Milliseconds(), 10),
		"COPILOT_DIRECT_CONNECT_URL", w.AgentURL, "COPILOT_STUB_TOKEN", "stub",
		"COPILOT_TIMEOUT", strconv.FormatInt(w.AgentTimeout.Milliseconds(), 10),
		"REDIS_MODE", w.Mode, "REDIS_NODES", strings.Join(w.Nodes, ","), "REDIS_SENTINEL_MASTER", w.SentinelMaster,
		"REDIS_WAIT_REPLICAS", strconv.Itoa(w.WaitReplicas),
	}
}

func openRedis(tb testing.TB, w matrix.Settings) store.Store {
	tb.Helper()
	c := config{redisCAFile: w.CAFile}
	if faults := c.readCAs(); faults != nil {
		tb.Fatal(faults)
	}
	s, err := redis.New(redis.Options{
		URL: w.RedisURL, RootCAs: c.redisCAs, Prefix: w.Prefix, Timeout: w.Timeout,
		Mode: redis.Mode(w.Mode), Nodes: w.Nodes, SentinelMaster: w.SentinelMaster, WaitReplicas: w.WaitReplicas,
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// RESIL-01..: what every route and every method of the store answers under
// every fault of Redis and of the agent, and what is left of it afterwards. Without
// -matrix.all it is one fault of every class.
func TestMatrix(t *testing.T) {
	report := matrix.NewReport(time.Now())
	var mu sync.Mutex
	add := func(t *testing.T, e matrix.Entry) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		report.Rows = append(report.Rows, e)
		for _, c := range e.Cells {
			if c.Failed() {
				t.Errorf("%s", c.Explain())
			}
		}
	}
	t.Run("redis", func(t *testing.T) {
		shared := redistest.Start(t)
		for _, r := range matrix.Rows() {
			for _, secure := range r.Modes() {
				if !*allRows && (!r.Sampled() || secure && len(r.Modes()) > 1) {
					continue
				}
				name := r.ID
				if secure {
					name += "-tls"
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					e := matrix.Entry{ID: r.ID, Fault: r.Fault, Secure: secure, Omitted: r.Omitted}
					if r.Omitted == "" {
						e.Cells = matrix.Run(t, target(), shared, r, secure, *rounds)
					}
					add(t, e)
				})
			}
		}
	})
	t.Run("agent", func(t *testing.T) {
		url := redistest.Start(t).URL()
		for _, r := range matrix.UpstreamRows() {
			if !*allRows && !r.Sampled() {
				continue
			}
			t.Run(r.ID, func(t *testing.T) {
				t.Parallel()
				add(t, matrix.Entry{ID: r.ID, Fault: r.Fault, Cells: matrix.RunUpstream(t, target(), url, r)})
			})
		}
	})
	if *reportDir == "" {
		return
	}
	report.Sort()
	if err := report.WriteFiles(*reportDir); err != nil {
		t.Error(err)
	}
}
