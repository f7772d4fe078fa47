package redis_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/contracttest"
	"parley/contracttest/history"
	"parley/contracttest/redistest"
	"parley/store/memory"
	"parley/store/redis"
)

// What concurrent clients see of a real Redis has an order that explains it.
func TestLinearizable(t *testing.T) {
	url := redistest.Start(t).URL()
	for seed := range uint64(10) {
		for _, lapses := range []bool{false, true} {
			if report := history.Linearizable(t, open(t, url), seed, lapses); report != "" {
				t.Errorf("lapses %v: %s", lapses, report)
			}
		}
	}
}

// Memory and Redis cannot be told apart by any sequence of calls.
func TestSameAsMemory(t *testing.T) {
	redis.Slow(t)
	url := redistest.Start(t).URL()
	raw := client(t, url)
	history.Same(t, func(clock *contracttest.Clock) (model, subject *contracttest.Place, end func()) {
		prefix := uuid.NewString() + ":"
		s, err := redis.New(redis.Options{URL: url, Prefix: prefix, TTL: ttl})
		put(t, err)
		s.SetClock(clock.Now)
		model = &contracttest.Place{
			Store: memory.New(memory.Options{TTL: ttl, Now: clock.Now}), TTL: ttl,
			Advance: func(testing.TB, time.Duration) {}, // its only clock is the common one
		}
		subject = &contracttest.Place{Store: s, TTL: ttl, Advance: func(tb testing.TB, d time.Duration) { age(tb, raw, prefix, d) }}
		return model, subject, func() { _ = s.Close() }
	})
}
