package redis_test

import (
	"crypto/tls"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest"
	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
	"parley/store/redis"
)

// The Redis store keeps the contract on a cluster, but for legacy records, whose keys
// are in other slots than ours.
func TestContractOnCluster(t *testing.T) {
	c := redistest.StartCluster(t)
	runOnCluster(t, c, redis.Options{URL: c.URL()})
}

// It keeps it over TLS, as a user that may do nothing but what is written down, and
// when each completion waits for a replica.
func TestContractOnGuardedCluster(t *testing.T) {
	redis.Slow(t)
	certificates := faultproxy.NewCertificates(t)
	c := redistest.StartCluster(t, redistest.Replicas(1), redistest.TLS(certificates.Good))
	words := append(rights(t, "each node of a cluster"), "+wait")
	for _, n := range c.Nodes {
		limited(t, n.Admin, words)
	}
	url := strings.Replace(c.URL(), "rediss://", "rediss://parley:password@", 1)
	runOnCluster(t, c, redis.Options{URL: url, RootCAs: certificates.Pool, WaitReplicas: 1})
}

// runOnCluster runs the suite on a cluster's store.
func runOnCluster(t *testing.T, c *redistest.Cluster, o redis.Options) {
	t.Helper()
	o.Mode = redis.ModeCluster
	addrs := &goredis.ClusterOptions{Addrs: c.Addrs()}
	if o.RootCAs != nil {
		addrs.TLSConfig = &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12}
	}
	client := goredis.NewClusterClient(addrs)
	t.Cleanup(func() { _ = client.Close() })
	all := many{UniversalClient: client}
	for _, n := range c.Nodes[:3] {
		all.servers = append(all.servers, n.Admin)
	}
	contracttest.Run(t, contracttest.Backend{
		Open:  func(tb testing.TB) *contracttest.Place { return openPlace(tb, all, o) },
		Lacks: []contracttest.Ability{contracttest.Legacy},
	})
}
