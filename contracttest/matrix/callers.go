package matrix

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/faultproxy"
	"parley/contracttest/latency"
)

// Site is a service that runs as a process of its own, and what callers need there.
type Site struct {
	Base, Admin string // URLs; Admin is where operators' probes go
	PID         int
	Token       func(tenant, user string) string // a good token
	Stranger    string                           // one that is signed with a key that nobody knows
	HangIssuer  func()                           // has the issuer answer nothing from now on
	Prefix      string                           // of all keys
	RedisURL    string                           // past the proxy; empty for the store in memory
	Proxy       *faultproxy.Proxy                // through which the service reaches Redis; nil likewise
	Connections int                              // that an attack opens
}

// The tenants of a Site: one attacks, and the other is to notice nothing.
const (
	AttackingTenant = "6f1b1a52-7e39-4f4b-9d0a-1d7f25a3c001"
	OtherTenant     = "6f1b1a52-7e39-4f4b-9d0a-1d7f25a3c002"
)

// Attack is one caller who takes what there is, within what the service lets him.
type Attack struct {
	ID      string // of letters, digits and dashes
	About   string // what the attacker does, one sentence
	Promise string // what must hold beside that the other tenant is served

	OnRedis, InMemory bool     // the stores on which it is tried
	Settings          []string // of the service, in pairs, beside the defaults
	Deaf              bool     // the service's standard error is a pipe that nobody reads
	// Ratio bounds the other tenant's p99 by the undisturbed one; 0 where it is told
	// and not judged.
	Ratio  float64
	PeakMB int // the most memory that the process may ever have, in MiB

	// Unbound are settings that switch the bound off, so that the attack must be
	// seen to succeed; nil where it has none.
	Unbound []string

	alone   func(a *assault) // what is measured while nobody else calls; nil for nothing
	prepare func(a *assault) // comes first; others' times are not judged yet; nil for nothing
	run     func(a *assault) // attacks until the assault's time is over
	apart   bool             // makes no sense beside the others
}

// AttackEntry is what came of an attack.
type AttackEntry struct {
	ID       string
	About    string
	Promise  string
	Store    string
	Answers  map[string]int // to the other tenant, by status and class
	Attacker map[string]int // to the attackers
	Calm     time.Duration  // the other tenant's p99 before the attack
	Under    time.Duration  // and during it
	Probe    time.Duration  // the longest that the process took to answer a probe of operators
	Late     time.Duration  // the most that the machine was late by, measured without the process
	Machine  time.Duration  // the most that either was late by, the probe for no more than soon
	Allowed  float64        // times Calm, beside twice Machine; 0 for any
	PeakMB   int
	LimitMB  int // 0 where it is not measured
	Broken   []string
}

// Ratio is the p99 during the attack by that before it.
func (e AttackEntry) Ratio() float64 {
	if e.Calm == 0 {
		return 0
	}
	return math.Round(100*float64(e.Under)/float64(e.Calm)) / 100
}

const (
	calmFor  = time.Second           // before an attack
	interval = 10 * time.Millisecond // between two sends of one user of the other tenant
	others   = 2                     // users of the other tenant who send

	// What the machine is late by is measured on one HTTP request. A send is two: one
	// to the service, and one of the service to the agent.
	hops = 2

	// soon is never too late: where attackers take all processors, a send waits for its
	// turn several times. It is a tenth of what a call of Redis may take by default.
	soon = 500 * time.Millisecond
)

// RunAttacks has all attacks at once for so long, and the other tenant's users
// send meanwhile. Without memory it does not judge the process's memory, which a
// race detector distorts.
func RunAttacks(tb testing.TB, s Site, attacks []Attack, lasting time.Duration, memory bool) AttackEntry {
	tb.Helper()
	e := AttackEntry{Store: "memory", Answers: map[string]int{}, Attacker: map[string]int{}}
	var redis *goredis.Client
	if s.RedisURL != "" {
		e.Store = "redis"
		redis = (&testbed{tb: tb}).connect(s.RedisURL)
	}
	var assaults []*assault
	for _, a := range attacks {
		one := newAssault(tb, s, redis, a)
		one.beside = len(attacks) > 1
		assaults = append(assaults, one)
	}
	for _, a := range assaults {
		if a.alone != nil && !a.beside {
			a.alone(a)
		}
	}
	v := newVictims(tb, s)
	calm, cancel := context.WithTimeout(tb.Context(), calmFor)
	e.Calm = p99(v.send(calm, e.Answers))
	cancel()

	life, end := context.WithCancel(tb.Context())
	defer end()
	all := func(f func(a *assault)) []time.Duration {
		ctx, stop := context.WithCancel(tb.Context())
		defer stop()
		var busy sync.WaitGroup
		for _, a := range assaults {
			busy.Go(func() { f(a) })
		}
		go func() { busy.Wait(); stop() }()
		return v.send(ctx, e.Answers)
	}
	all(func(a *assault) {
		if a.ctx = life; a.prepare != nil {
			a.prepare(a)
		}
	})
	machine := latency.Watch(tb)
	watched, unwatch := context.WithCancel(tb.Context())
	probed := make(chan time.Duration, 1)
	go func() { probed <- probe(watched, newAsker(tb, s.Admin, "")) }()
	e.Under = p99(all(func(a *assault) {
		deadline, cancel := context.WithTimeout(life, lasting)
		defer cancel()
		a.ctx = deadline
		a.run(a)
	}))
	unwatch()
	end()
	e.yardstick(machine.Max(), <-probed)
	for i, a := range assaults {
		e.Broken = append(e.Broken, a.broken...)
		for answer, n := range a.answers {
			e.Attacker[answer] += n
		}
		if i == 0 || attacks[i].Ratio == 0 {
			e.Allowed = attacks[i].Ratio
		}
		e.LimitMB = max(e.LimitMB, attacks[i].PeakMB)
	}
	if len(attacks) == 1 {
		e.ID, e.About, e.Promise = attacks[0].ID, attacks[0].About, attacks[0].Promise
	}
	peak, err := peakMB(s.PID)
	if err != nil {
		e.Broken = append(e.Broken, "the process is gone: "+err.Error())
	}
	e.PeakMB = peak
	if !memory {
		e.LimitMB = 0
	}
	breakerOpen := false
	if redis != nil {
		if breakerOpen, err = openBreaker(tb, s); err != nil {
			e.Broken = append(e.Broken, "the process is gone: "+err.Error())
		}
	}
	e.judge(breakerOpen)
	return e
}

// probe asks for /livez until ctx is done, and gives the longest that it waited.
// It needs no place, no store and no agent, but a processor: the attackers run on
// the machine that they attack, and leave less of it to everybody.
func probe(ctx context.Context, operator asker) (longest time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		began := time.Now()
		operator.ask(ctx, "/livez", nil)
		longest = max(longest, time.Since(began)) // also of one that never came
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return longest
}

// yardstick notes what the machine was late by. The probe shows what attackers on the
// same machine leave of it to the process, but the process is the one under attack: its
// own lateness must not excuse it without end.
func (e *AttackEntry) yardstick(machine, probe time.Duration) {
	e.Late, e.Probe = machine, probe
	e.Machine = max(machine, min(probe, soon))
}

// judge adds what was promised of every attack and is not so.
func (e *AttackEntry) judge(breakerOpen bool) {
	broken := func(format string, args ...any) { e.Broken = append(e.Broken, fmt.Sprintf(format, args...)) }
	for _, answer := range slices.Sorted(maps.Keys(e.Answers)) {
		if answer != "200" {
			broken("the other tenant got %q %d times", answer, e.Answers[answer])
		}
	}
	if e.Answers["200"] == 0 {
		broken("the other tenant got no answer")
	}
	for _, answer := range slices.Sorted(maps.Keys(e.Attacker)) {
		// Who fills a slow line may be told that it was too slow.
		if strings.Contains(answer, " store_") && e.Allowed != 0 {
			broken("Redis is blamed for the attack: %q %d times", answer, e.Attacker[answer])
		}
	}
	if breakerOpen {
		broken("the breaker is open")
	}
	if allowed := max(soon, time.Duration(e.Allowed*float64(e.Calm))+hops*e.Machine); e.Allowed != 0 && e.Under > allowed {
		broken("the other tenant's p99 is %v, allowed are %v: %g × %v and twice the machine's %v", e.Under, allowed, e.Allowed, e.Calm, e.Machine)
	}
	if limit := soon + hops*e.Late; e.Allowed != 0 && e.Probe > limit {
		broken("the probe of operators took %v, allowed are %v: %v and twice the %v that the machine was late by", e.Probe, limit, soon, e.Late)
	}
	if e.LimitMB != 0 && e.PeakMB > e.LimitMB {
		broken("the process had %d MiB, allowed are %d", e.PeakMB, e.LimitMB)
	}
}

// p99 is the time within which 99 of 100 were.
func p99(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[(len(sorted)*99-1)/100]
}
