package redis_test

import (
	"regexp"
	"testing"
	"time"

	"parley/contracttest"
	"parley/contracttest/redistest"
	"parley/store/redis"
)

// sentinelOptions lead to what some sentinels watch.
func sentinelOptions(s *redistest.Sentinels) redis.Options {
	return redis.Options{
		URL: s.Sentinels[0].URL(), Nodes: s.Addrs()[1:], Mode: redis.ModeSentinel, SentinelMaster: redistest.SentinelMaster,
	}
}

// The Redis store keeps the whole contract on a primary that sentinels tell it, as a
// user with the least rights, there and at the sentinels.
func TestContractOnSentinels(t *testing.T) {
	redis.Slow(t)
	s := redistest.StartSentinel(t, redistest.DownAfter(time.Minute)) // a machine that is busy is no failover
	for _, n := range s.Nodes {
		limited(t, n.Admin, rights(t, "a single Redis, or the primary behind sentinels"))
	}
	for _, n := range s.Sentinels {
		limited(t, n.Admin, rights(t, "each sentinel, for REDIS_SENTINEL_USER"))
	}
	o := sentinelOptions(s)
	o.URL = "redis://parley:password@" + s.Sentinels[0].Addr()
	o.SentinelUser, o.SentinelPassword = "parley", "password"
	url := s.Primary(t).URL()
	contracttest.Run(t, contracttest.Backend{Open: func(tb testing.TB) *contracttest.Place { return openAt(tb, url, o) }})

	// Events can be missed without anybody noticing: a poll finds out later.
	listens, err := redis.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listens.Close() })
	events := regexp.MustCompile(`(?m)^.* sub=2 .* user=parley `)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for _, n := range s.Sentinels {
		for !events.MatchString(n.Admin.ClientList(t.Context()).Val()) {
			if time.Since(began) > 20*time.Second {
				t.Fatalf("nobody listens to the events of %s", n.Addr())
			}
			<-tick.C
		}
	}
}
