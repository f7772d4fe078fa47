package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"parley/store/redis"
)

// How often Redis is asked for its eviction policy: it may be changed while it
// runs, and may not have been there when the service began.
const (
	evictionEvery   = time.Minute
	evictionUnknown = 5 * time.Second
)

// redisWatch warns of a Redis that may lose conversations in silence: one that
// deletes them when its memory is full, which is what a managed Redis does by
// default, and one that does not tell what we have to know of it.
type redisWatch struct {
	policy     func(context.Context) (string, error)
	roleUntold func() bool
	log        *slog.Logger

	mu    sync.Mutex
	known bool   // whether Redis has been asked
	last  string // the policy found last, "" where Redis does not tell
}

// run asks until ctx is done.
func (e *redisWatch) run(ctx context.Context) {
	for ctx.Err() == nil {
		pause := evictionEvery
		if !e.look(ctx) {
			pause = evictionUnknown
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// look asks once and reports whether there was an answer.
func (e *redisWatch) look(ctx context.Context) bool {
	policy, err := e.policy(ctx)
	if err != nil {
		return false
	}
	e.mu.Lock()
	changed := !e.known || policy != e.last
	e.known, e.last = true, policy
	e.mu.Unlock()
	if !changed {
		return true
	}
	switch policy {
	case redis.KeepsAll:
	case "":
		e.log.LogAttrs(ctx, slog.LevelWarn, policyUnknown)
	default:
		e.log.LogAttrs(ctx, slog.LevelWarn, "Redis deletes conversations in silence when its memory is full",
			slog.String("maxmemory_policy", policy), slog.String("expected", redis.KeepsAll))
	}
	return true
}

const (
	policyUnknown = "the eviction policy of Redis cannot be read: its user may run neither INFO nor CONFIG GET; any policy but " +
		redis.KeepsAll + " deletes conversations in silence when the memory is full"
	roleUnknown = "Redis does not answer HELLO: after a failover that leaves connections open, reads may come from the former primary until the next write"
)

// warnings is for server.HealthConfig.
func (e *redisWatch) warnings() []string {
	e.mu.Lock()
	known, policy := e.known, e.last
	e.mu.Unlock()
	var out []string
	switch {
	case !known || policy == redis.KeepsAll:
	case policy == "":
		out = append(out, policyUnknown)
	default:
		out = append(out, "Redis has the eviction policy "+policy+": it deletes conversations in silence when its memory is full; expected "+redis.KeepsAll)
	}
	if e.roleUntold() {
		out = append(out, roleUnknown)
	}
	return out
}
