package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
	"parley/server/copilot/emulator"
	"parley/store"
)

// The settings of the chaos test. make chaos sets them.
const (
	chaosSeconds = "PARLEY_CHAOS_SECONDS" // how long it lasts; short when unset
	chaosSeed    = "PARLEY_CHAOS_SEED"    // what happens; random when unset, and printed
)

// Two replicas that are killed, stopped and cut off from Redis again and again
// lose nothing that was acknowledged and say nothing twice.
func TestChaos(t *testing.T) {
	slow(t)
	seconds, seed := setting64(t, chaosSeconds, 8), setting64(t, chaosSeed, rand.Uint64N(1_000_000))
	c := chaos(t, seed, time.Duration(seconds)*time.Second, right, (*arena).something)
	c.report(t, int(seconds))
	if t.Failed() {
		t.Logf("again: %s=%d %s=%d go test -run TestChaos ./cmd/parley", chaosSeed, seed, chaosSeconds, seconds)
	}
}

// A rolling restart under load is seen as shutting_down or as a connection that
// ends, loses nothing, and asks the agent nothing twice.
func TestRollingRestart(t *testing.T) {
	slow(t)
	next := 0
	c := chaos(t, 1, 5*time.Second, right, func(a *arena) {
		r := a.replicas[next%2]
		next++
		a.end(r, syscall.SIGTERM)
		a.launch(r)
	})
	c.report(t, 5)
	for class := range c.classes {
		if !slices.Contains([]string{"200", "204", "connection", "shutting_down", "turn_conflict"}, class) {
			t.Errorf("clients saw %s", class)
		}
	}
}

// report fails the test with what broke, or when hardly anything was said.
func (c *crowd) report(t *testing.T, least int) {
	t.Helper()
	for _, b := range c.broken {
		t.Error(b)
	}
	if c.classes["200"] < least {
		t.Errorf("only %d requests were answered", c.classes["200"])
	}
	t.Logf("seed %d: %d conversations, %d turns followed or joined, answers %v", c.seed, len(c.talks), c.joined, c.classes)
}

func setting64(t *testing.T, name string, def uint64) uint64 {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return def
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// arena is where it happens: two replicas, each with its own way to one Redis, and an agent.
type arena struct {
	t        *testing.T
	crowd    *crowd
	rand     *rand.Rand
	server   *redistest.Server
	redis    *goredis.Client
	settings []string
	replicas [2]*replica
}

// replica is one process of the service.
type replica struct {
	proxy    *faultproxy.Proxy // between it and Redis
	settings []string          // of its own
	mu       sync.Mutex
	base     string // "" while it is not there
	cmd      *exec.Cmd
}

// chaos lets users talk while things break one after the other, and checks what
// came of it.
func chaos(t *testing.T, seed uint64, lasts time.Duration, mutant string, breaks func(*arena)) *crowd {
	t.Helper()
	server := redistest.Start(t)
	opt, err := goredis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	a := &arena{t: t, server: server, redis: goredis.NewClient(opt), rand: rand.New(rand.NewPCG(seed, 1))}
	t.Cleanup(func() { _ = a.redis.Close() })
	e := emulator.New(emulator.Options{Token: "stub", MaxRequests: 1_000_000, MaxConversations: 1_000_000})
	web := httptest.NewServer(e)
	t.Cleanup(web.Close)
	a.settings = []string{
		"COPILOT_DIRECT_CONNECT_URL", web.URL + "/agent", "COPILOT_STUB_TOKEN", "stub",
		"REDIS_TIMEOUT", "800", "SHUTDOWN_TIMEOUT", "10", asReplica, mutant,
	}
	for i := range a.replicas {
		// Instances agree about nothing that they could have of their own: their
		// clocks are hours apart, and so are their times to live.
		a.replicas[i] = &replica{proxy: faultproxy.Start(t, server.Addr()), settings: []string{
			"REDIS_TTL", []string{"86400", "7200"}[i], clockAhead, []string{"3h", "-5h"}[i],
		}}
		a.launch(a.replicas[i])
	}
	talking, stop := context.WithCancel(t.Context())
	defer stop()
	a.crowd = &crowd{t: t, seed: seed, bases: a.bases, stop: talking, classes: map[string]int{}}
	var users sync.WaitGroup
	for n := range 12 {
		users.Go(func() { a.crowd.user(n) })
	}
	for end := time.Now().Add(lasts); time.Now().Before(end); {
		passes(a.t.Context(), a.between(400, 1200)) // long enough for a lease to be renewed
		breaks(a)
	}
	stop()
	users.Wait()
	a.crowd.free(a.bases)
	a.crowd.check(a.bases()[0], e)
	return a.crowd
}

func (a *arena) bases() []string {
	for {
		var all []string
		for _, r := range a.replicas {
			r.mu.Lock()
			if r.base != "" {
				all = append(all, r.base)
			}
			r.mu.Unlock()
		}
		if len(all) > 0 {
			return all
		}
		passes(a.t.Context(), 10*time.Millisecond)
	}
}

func (a *arena) launch(r *replica) {
	a.t.Helper()
	base, cmd := process(a.t, slices.Concat([]string{"REDIS_URL", "redis://" + r.proxy.Addr()}, a.settings, r.settings)...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cmd, r.base = cmd, base
}

// end ends a replica by a signal and waits for its end.
func (a *arena) end(r *replica, s os.Signal) {
	r.mu.Lock()
	r.base = ""
	cmd := r.cmd
	r.mu.Unlock()
	_ = cmd.Process.Signal(s)
	_ = cmd.Wait()
}

// passes lets time pass: a fault lasts, a user thinks before the next try. It returns
// early when ctx is done.
func passes(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// between is some time from low to high milliseconds.
func (a *arena) between(low, high int) time.Duration {
	return time.Duration(low+a.rand.IntN(high-low)) * time.Millisecond
}

// something breaks, for a while, and is well again.
func (a *arena) something() {
	from := time.Now()
	victims := a.replicas[:]
	if n := a.rand.IntN(3); n < 2 {
		victims = a.replicas[n : n+1]
	}
	troubled := true
	what := a.rand.IntN(13)
	switch what {
	case 0, 1: // killed
		a.end(victims[0], syscall.SIGKILL)
		passes(a.t.Context(), a.between(0, 1000))
		a.launch(victims[0])
	case 2: // told to stop
		a.end(victims[0], syscall.SIGTERM)
		a.launch(victims[0])
		troubled = false
	case 3: // stopped longer than a lease
		_ = victims[0].cmd.Process.Signal(sigHalt)
		passes(a.t.Context(), store.LeaseTime+time.Second)
		_ = victims[0].cmd.Process.Signal(sigResume)
	case 4: // Redis away longer than a lease
		a.suffer(victims, faultproxy.Refuse(), store.LeaseTime+time.Second)
	case 5:
		a.suffer(victims, faultproxy.Refuse(), a.between(100, 1500))
		troubled = false
	case 6:
		a.suffer(victims, faultproxy.BlackHole(faultproxy.Both, faultproxy.AllConns), a.between(100, 1500))
		troubled = false
	case 7:
		a.suffer(victims, faultproxy.Latency(a.between(20, 220)).On(faultproxy.All), a.between(100, 1500))
		troubled = false
	case 8:
		for _, r := range victims {
			r.proxy.KillConns(faultproxy.RST)
		}
		troubled = false
	case 9: // what ran is told to nobody
		a.suffer(victims, faultproxy.CutAfter(faultproxy.RST), a.between(100, 1500))
		troubled = false
	case 12: // what ran is told to nobody, and then nobody is left to tell it
		a.suffer(victims, faultproxy.CutAfter(faultproxy.RST), a.between(100, 700))
		a.end(victims[0], syscall.SIGKILL)
		a.launch(victims[0])
	case 10:
		_ = a.redis.Do(a.t.Context(), "CLIENT", "PAUSE", a.between(100, 1500).Milliseconds(), "ALL").Err()
		troubled = false
	case 11: // Redis halted, and then works off what it was sent
		a.server.Stop(a.t)
		passes(a.t.Context(), a.between(100, 1500))
		a.server.Continue(a.t)
		troubled = false
	}
	a.t.Logf("%6.2f s: event %d on %d", time.Since(from).Seconds(), what, len(victims))
	if troubled {
		a.crowd.mu.Lock()
		defer a.crowd.mu.Unlock()
		a.crowd.troubles = append(a.crowd.troubles, trouble{from, time.Now()})
	}
}

// suffer lets replicas suffer a fault of their way to Redis for a while.
func (a *arena) suffer(victims []*replica, f faultproxy.Fault, lasts time.Duration) {
	for _, r := range victims {
		r.proxy.Set(f)
	}
	passes(a.t.Context(), lasts)
	for _, r := range victims {
		r.proxy.Heal()
	}
}

// free wants every conversation to take another turn: none stays blocked.
func (c *crowd) free(bases func() []string) {
	var asking sync.WaitGroup
	for chunk := range slices.Chunk(c.talks, max(1, (len(c.talks)+7)/8)) {
		asking.Go(func() {
			for i, t := range chunk {
				r := rand.New(rand.NewPCG(c.seed, uint64(i)))
				s := &saying{text: fmt.Sprint("is anybody there? ", t.id), key: t.id}
				t.said = append(t.said, s)
				if h, ok := c.until(r, s, "/api/chat/send", m{"conversationId": t.id, "text": s.text}, false); ok {
					s.answer = h.ids()
				}
			}
		})
	}
	asking.Wait()
}
