package matrix

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"parley/contracttest/faultproxy"
	"parley/server/auth/authtest"
)

// largeFile is the size of a static file that nobody reads to its end, in bytes.
const largeFile = 1 << 20

// NewSite gives what a Site needs before its service runs: an issuer of tokens for the
// tenants, a directory with large.txt to serve, and a proxy in front of Redis, which is
// nil for the store in memory. Base, Admin and PID are left to the caller.
func NewSite(tb testing.TB, redis Redis, connections int) (s Site, issuer *authtest.Issuer, static string) {
	tb.Helper()
	key := authtest.NewEC(tb, "key")
	issuer = authtest.NewIssuer(tb, key)
	static = tb.TempDir()
	if err := os.WriteFile(filepath.Join(static, "large.txt"), bytes.Repeat([]byte("x"), largeFile), 0o600); err != nil {
		tb.Fatal(err)
	}
	s = Site{
		Token: func(tenant, user string) string {
			return key.Token(issuer.Claims().With("tid", tenant).With("oid", user))
		},
		Stranger:    authtest.NewEC(tb, "nobody's").Token(issuer.Claims()),
		HangIssuer:  func() { issuer.Break(authtest.Slow) },
		Prefix:      uuid.NewString() + ":",
		Connections: connections,
	}
	if redis != nil {
		s.Proxy, s.RedisURL = faultproxy.Start(tb, redis.Addr()), redis.URL()
	}
	return s, issuer, static
}

// ThroughProxy is where the service of a Site finds Redis; empty for the store in memory.
func (s Site) ThroughProxy(redis Redis) string {
	if s.Proxy == nil {
		return ""
	}
	return Through(redis, s.Proxy)
}
