package redistest

import (
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

func TestSentinelsNameWhatClientsReach(t *testing.T) {
	slow(t)
	t.Parallel()
	began := time.Now()
	const secret, other = "a-secret", "another-secret"
	s := StartSentinel(t, Flags("--requirepass", secret), SentinelPassword(other))
	t.Logf("started in %v", time.Since(began))
	ctx := t.Context()
	// It knows nothing of this package: what it finds, the sentinels told it.
	client := goredis.NewFailoverClient(&goredis.FailoverOptions{MasterName: SentinelMaster, SentinelAddrs: s.Addrs(), Password: secret, SentinelPassword: other})
	t.Cleanup(func() { _ = client.Close() })
	if err := client.Set(ctx, "some", "yes", 0).Err(); err != nil {
		t.Fatal(err)
	}
	primary := s.Primary(t)
	if primary != s.Nodes[0] {
		t.Errorf("the primary is %s", primary.Addr())
	}
	if n, _ := primary.Proxy.Conns(); n == 0 {
		t.Error("nobody came by the proxy of the primary")
	}

	s.Failover(t)
	s.AwaitSettled(t)
	primary = s.Primary(t)
	if primary != s.Nodes[1] {
		t.Errorf("after the failover the primary is %s", primary.Addr())
	}
	if got := client.Get(ctx, "some").Val(); got != "yes" {
		t.Errorf("after the failover the client reads %q", got)
	}
}
