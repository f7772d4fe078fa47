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

// evictionWatch warns of a Redis that deletes conversations in silence when its
// memory is full. It is what a managed Redis does by default, and it looks like
// conversations that never were.
type evictionWatch struct {
	policy func(context.Context) (string, error)
	log    *slog.Logger

	mu   sync.Mutex
	last string // the policy found last, "" while unknown
}

// run asks until ctx is done.
func (e *evictionWatch) run(ctx context.Context) {
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
func (e *evictionWatch) look(ctx context.Context) bool {
	policy, err := e.policy(ctx)
	if err != nil {
		return false
	}
	e.mu.Lock()
	changed := policy != e.last
	e.last = policy
	e.mu.Unlock()
	if changed && evicts(policy) {
		e.log.LogAttrs(ctx, slog.LevelWarn, "Redis deletes conversations in silence when its memory is full",
			slog.String("maxmemory_policy", policy), slog.String("expected", redis.KeepsAll))
	}
	return true
}

func evicts(policy string) bool { return policy != "" && policy != redis.KeepsAll }

// warnings is for server.HealthConfig.
func (e *evictionWatch) warnings() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !evicts(e.last) {
		return nil
	}
	return []string{"Redis has the eviction policy " + e.last + ": it deletes conversations in silence when its memory is full; expected " + redis.KeepsAll}
}
