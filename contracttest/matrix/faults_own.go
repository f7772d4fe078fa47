package matrix

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"parley/contracttest/agenttest"
	"parley/contracttest/claims"
	"parley/contracttest/faultproxy"
)

const (
	conversationPath = "/api/chat/conversations/{id}"
	listPath         = "/api/chat/conversations"
)

// of are the claims that a row needs.
func of(all ...claims.Claim) []claims.Claim { return all }

// ownRows are faults that one request to each route would not show.
func ownRows() []Row {
	rows := []Row{
		{ID: "crowd", tries: "GET " + conversationPath, Needs: of(claims.Read, claims.Classes, claims.BoundedStore), Fault: "100 callers at once, more than there are connections, and commands never reach Redis", try: crowd, Reads: Expect{"store_timeout", "store_pool_exhausted"}},
		{ID: "breaker-open", tries: "GET " + conversationPath, Needs: of(claims.Read, claims.Breaker, claims.BoundedStore), Fault: "commands never reach Redis, and that is known by now", try: breakerOpen, Reads: Expect{"store_timeout"}},
		{ID: "silent-reads", tries: "GET " + listPath, Needs: of(claims.Read, claims.Breaker, claims.BoundedStore), Fault: "reading messages gets no reply, again and again, and Redis answers all else", try: silentReads, Reads: Expect{"store_timeout"}},
		{ID: "clients-leave", tries: "GET " + conversationPath, Needs: of(claims.Read, claims.BoundedStore), Fault: "clients leave one after the other while Redis is slow", try: clientsLeave, Reads: Expect{""}},
		{ID: "runner-paused", tries: "POST /api/chat/send", Needs: of(claims.Instances, claims.Idempotency, claims.KeyLayout), Fault: "an instance is paused in the middle of a turn for longer than its lease, and another takes the turn over", try: runnerPaused, Reads: Expect{"turn_conflict"}},
		{ID: "evicts", tries: healthName, Needs: of(claims.Eviction), Fault: "Redis deletes what it holds when its memory is full (maxmemory-policy)", try: evicts, own: true, Reads: Expect{""}},
	}
	for i := range rows {
		rows[i].Plain = true
	}
	return rows
}

// cell begins a cell of a row with columns of its own.
func (bed *testbed) cell(column string, e ...string) Cell {
	return Cell{Row: bed.row.ID, Fault: bed.row.Fault, Column: column, Expected: bed.target.seen(e), Sent: column}
}

// crowd: nobody waits longer than the timeout, whether for a connection or for
// an answer, and everybody is told that it is the store's.
func crowd(bed *testbed, t Target) []Cell {
	c := bed.route(t, route{method: "GET", path: "/api/chat/conversations/{id}"})
	cell := bed.cell(c.name(), bed.row.Reads...)
	cell.fail("before the fault", claims.Healthy, patiently(c.prepare))
	bed.proxy.Set(faultproxy.BlackHole(faultproxy.Requests, faultproxy.AllConns))
	var mu sync.Mutex
	var asking sync.WaitGroup
	exhausted := 0
	for range 100 {
		asking.Go(func() {
			one := &routeColumn{route: c.route, tb: c.tb, client: c.client, base: c.base, keys: c.keys, agent: c.agent, id: c.id, limits: c.limits, lacks: c.lacks}
			began := time.Now()
			o := one.ask("")
			o.took = time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			if o.class == "store_pool_exhausted" {
				exhausted++
			}
			cell.judge(o, bed.waited(), claims.BoundedStore)
		})
	}
	asking.Wait()
	if exhausted == 0 {
		cell.fail("under the fault", claims.BoundedStore, errors.New("nobody was told that there was no connection free"))
	}
	bed.proxy.Heal()
	cell.recover(time.Now(), c, bed.limits)
	return []Cell{cell}
}

// quick is what 99 of 100 answers may take at most while the breaker is open.
const quick = 20 * time.Millisecond

// breakerOpen: once a few have waited in vain, nobody waits any more. What the
// machine itself is late by shows in answers that need no Redis, asked in turn.
func breakerOpen(bed *testbed, t Target) []Cell {
	c := bed.route(t, route{method: "GET", path: "/api/chat/conversations/{id}"})
	cell := bed.cell(c.name(), "store_timeout")
	cell.fail("before the fault", claims.Healthy, patiently(c.prepare))
	bed.proxy.Set(faultproxy.BlackHole(faultproxy.Requests, faultproxy.AllConns))
	for began := time.Now(); ; {
		asked := time.Now()
		if c.ask(""); time.Since(asked) < bed.timeout/2 || time.Since(began) > 10*bed.timeout {
			break
		}
	}
	const n = 300
	var took, idle []time.Duration
	for range n {
		began := time.Now()
		o := c.ask("")
		o.took = time.Since(began)
		took = append(took, o.took)
		cell.judge(o, bed.atOnce(), claims.AtOnce)
		began = time.Now()
		if _, err := c.must("GET", "/livez", nil, ""); err != nil {
			cell.fail("under the fault", claims.Live, err)
		}
		idle = append(idle, time.Since(began))
	}
	slices.Sort(took)
	slices.Sort(idle)
	if p99, machine := took[n*99/100], max(idle[n*99/100], bed.baseline.Max()); p99 > quick+machine {
		cell.fail("under the fault", claims.Breaker, fmt.Errorf("one of 100 answers took %v or more, allowed are %v, and the machine is late by %v", p99, quick, machine))
	}
	bed.proxy.Heal()
	cell.recover(time.Now(), c, bed.limits)
	return []Cell{cell}
}

// silentReads: that some calls wait in vain is no reason to fail others without having
// asked Redis itself, which answers.
func silentReads(bed *testbed, t Target) []Cell {
	c := bed.route(t, route{method: "GET", path: conversationPath})
	cell := bed.cell("GET "+listPath, "")
	cell.fail("before the fault", claims.Healthy, patiently(c.prepare))
	bed.proxy.Set(faultproxy.LoseReply().On(faultproxy.Names("LRANGE")))
	var asking sync.WaitGroup
	const readers, each = 5, 2
	for range readers {
		one := *c
		asking.Go(func() {
			for range each {
				if o := one.ask(""); o.class != "store_timeout" {
					bed.tb.Errorf("a read that gets no reply: %d %s", o.status, o.class)
				}
			}
		})
	}
	asking.Wait()
	list := *c
	list.route = route{method: "GET", path: listPath}
	for range readers {
		began := time.Now()
		o := list.ask("")
		o.took = time.Since(began)
		cell.judge(o, bed.waited(), claims.Breaker)
	}
	bed.proxy.Heal()
	cell.recover(time.Now(), c, bed.limits)
	return []Cell{cell}
}

// clientsLeave: they are no failure of the store, so that the breaker stays
// closed and the next one who waits is served.
func clientsLeave(bed *testbed, t Target) []Cell {
	c := bed.route(t, route{method: "GET", path: "/api/chat/conversations/{id}"})
	cell := bed.cell(c.name(), "")
	cell.fail("before the fault", claims.Healthy, patiently(c.prepare))
	bed.proxy.Set(faultproxy.Latency(Timeout / 2))
	for range 20 {
		ctx, leave := context.WithTimeout(bed.tb.Context(), Timeout/20)
		_, err := c.call(ctx, c.route.method, c.route.path, nil, "")
		leave()
		if !errors.Is(err, context.DeadlineExceeded) {
			cell.fail("under the fault", claims.Told, fmt.Errorf("a client was answered before it left: %w", err))
		}
	}
	began := time.Now()
	o := c.ask("")
	o.took = time.Since(began)
	cell.judge(o, bed.waited(), claims.BoundedStore)
	return []Cell{cell}
}

// runnerPaused: the one that wakes up is told that the turn is no longer its
// own, and what the other one stored is all there is.
func runnerPaused(bed *testbed, t Target) []Cell {
	first := bed.route(t, route{method: "POST", path: "/api/chat/send", adds: "user assistant", body: func(id string) any {
		return m{"conversationId": id, "text": "question"}
	}})
	cell := bed.cell(first.name(), "turn_conflict")
	cell.fail("before the fault", claims.Healthy, patiently(first.prepare))
	arrived := first.agent.Hold()
	woken := make(chan outcome, 1)
	go func() { woken <- first.ask(first.key()) }()
	<-arrived
	bed.lapse(first)
	w := bed.settings(first)
	agent := agenttest.Start(bed.tb)
	w.AgentURL, w.AgentTimeout = agent.URL(), Patience
	second := &routeColumn{route: first.route, tb: bed.tb, client: client(bed.tb), keys: first.keys, agent: agent, id: first.id, base: t.Service(bed.tb, w), limits: bed.limits, lacks: t.Lacks}
	if o := second.ask(first.key()); o.class != "" {
		cell.fail("under the fault", claims.Instances, fmt.Errorf("the other instance answered %d %s", o.status, o.class))
	}
	began := time.Now()
	first.agent.Release()
	o := <-woken
	o.took, o.fault = time.Since(began), nil // the class says it; the rest is of faults of the store
	cell.judge(o, bed.atOnce(), claims.AtOnce)
	cell.fail("after the fault", claims.Kept, second.kept())
	return []Cell{cell}
}

// evicts: the service works, and says what is wrong.
func evicts(bed *testbed, t Target) []Cell {
	bed.do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	c := &healthColumn{*bed.route(t, route{})}
	cell := bed.cell(c.name(), "")
	cell.fail("before the fault", claims.Healthy, patiently(c.prepare))
	deadline := time.Now().Add(bed.HealthRecovery + bed.late())
	for tick := time.Tick(10 * time.Millisecond); ; <-tick {
		health, herr := c.call(bed.tb.Context(), "GET", "/health", nil, "")
		ready, rerr := c.call(bed.tb.Context(), "GET", "/readyz", nil, "")
		if strings.Contains(health.raw, "allkeys-lru") && strings.Contains(ready.raw, "allkeys-lru") {
			break
		}
		if time.Now().After(deadline) {
			cell.fail("under the fault", claims.Eviction, errors.Join(fmt.Errorf("no warning: %s %s", health.raw, ready.raw), herr, rerr))
			break
		}
	}
	cell.judge(c.fire(), bed.atOnce(), claims.AtOnce)
	return []Cell{cell}
}
