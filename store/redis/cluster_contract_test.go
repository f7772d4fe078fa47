package redis_test

import (
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest"
	"parley/contracttest/redistest"
	"parley/store/redis"
)

// The Redis store keeps the contract on a cluster, but for legacy records, whose keys
// are in other slots than ours.
func TestContractOnCluster(t *testing.T) {
	c := redistest.StartCluster(t)
	run(t, c, redis.Options{URL: c.URL(), Mode: redis.ModeCluster})
}

// run runs the suite on a cluster's store.
func run(t *testing.T, c *redistest.Cluster, o redis.Options) {
	t.Helper()
	all := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: c.Addrs()})
	t.Cleanup(func() { _ = all.Close() })
	raw := many{UniversalClient: all}
	for _, n := range c.Nodes[:3] {
		raw.servers = append(raw.servers, n.Admin)
	}
	contracttest.Run(t, contracttest.Backend{
		Open:  func(tb testing.TB) *contracttest.Place { return openPlace(tb, raw, o) },
		Lacks: []contracttest.Ability{contracttest.Legacy},
	})
}
