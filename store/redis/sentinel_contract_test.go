package redis_test

import (
	"testing"

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

// The Redis store keeps the whole contract on a primary that sentinels tell it.
func TestContractOnSentinels(t *testing.T) {
	s := redistest.StartSentinel(t)
	url := s.Primary(t).URL()
	contracttest.Run(t, contracttest.Backend{Open: func(tb testing.TB) *contracttest.Place {
		return openAt(tb, url, sentinelOptions(s))
	}})
}
