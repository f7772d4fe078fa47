package redis_test

import (
	"context"
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest"
	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
	"parley/store"
	"parley/store/redis"
)

// TEST-01, STORE-01: the Redis store keeps the whole contract on a real Redis.
func TestContract(t *testing.T) {
	url := redistest.Start(t).URL()
	contracttest.Run(t, contracttest.Backend{Open: func(tb testing.TB) *contracttest.Place { return open(tb, url) }})
}

// STORE-05, TEST-03: and keeps it through a proxy, over TLS, and when every
// command takes a while.
func TestContractThroughProxy(t *testing.T) {
	server := redistest.Start(t)
	certs := faultproxy.NewCertificates(t)
	for _, c := range []struct {
		name   string
		scheme string
		tls    *tls.Config
		fault  faultproxy.Fault
	}{
		{name: "plain", scheme: "redis://"},
		{name: "tls", scheme: "rediss://", tls: certs.Good},
		{name: "slow", scheme: "redis://", fault: faultproxy.Latency(2 * time.Millisecond)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := faultproxy.Start(t, server.Addr(), faultproxy.WithTLS(c.tls))
			p.Set(c.fault)
			contracttest.Run(t, contracttest.Backend{Open: func(tb testing.TB) *contracttest.Place {
				return openAt(tb, server.URL(), redis.Options{URL: c.scheme + p.Addr(), RootCAs: certs.Pool})
			}})
		})
	}
}

const ttl = time.Hour

// open makes a place of its own on a Redis.
func open(tb testing.TB, url string) *contracttest.Place {
	tb.Helper()
	return openAt(tb, url, redis.Options{URL: url})
}

// openAt makes a place of its own out of a prefix that nobody else has. The
// suite looks at what is kept, and changes it, by a URL of its own.
func openAt(tb testing.TB, url string, o redis.Options) *contracttest.Place {
	tb.Helper()
	return openPlace(tb, client(tb, url), o)
}

// many is a client of a cluster, with one of each server that has keys.
type many struct {
	goredis.UniversalClient
	servers []goredis.UniversalClient
}

// servers are the servers that have a client's keys.
func servers(c goredis.UniversalClient) []goredis.UniversalClient {
	if m, ok := c.(many); ok {
		return m.servers
	}
	return []goredis.UniversalClient{c}
}

// openPlace makes a place. One of a cluster has no legacy records.
func openPlace(tb testing.TB, raw goredis.UniversalClient, o redis.Options) *contracttest.Place {
	tb.Helper()
	clock, prefix := contracttest.NewClock(), uuid.NewString()+":"
	handle := func(tb testing.TB, ttl time.Duration, now func() time.Time) store.Store {
		tb.Helper()
		own := o
		own.Prefix, own.TTL, own.Legacy = prefix, ttl, o.Mode != redis.ModeCluster
		s, err := redis.New(own)
		if err != nil {
			tb.Fatal(err)
		}
		s.SetClock(now)
		tb.Cleanup(func() { _ = s.Close() })
		return s
	}
	p := &contracttest.Place{
		Store: handle(tb, ttl, clock.Now), TTL: ttl,
		Reopen: func(tb testing.TB) store.Store { return handle(tb, ttl, clock.Now) },
		// No clock but Redis's comes into it, so there is none that could be ahead.
		Instance: func(tb testing.TB, ttl, _ time.Duration) store.Store { return handle(tb, ttl, nil) },
		Advance: func(tb testing.TB, d time.Duration) {
			clock.Advance(d)
			age(tb, raw, prefix, d)
		},
		Keys: func(tb testing.TB) []contracttest.Key { return keys(tb, raw, prefix) },
		FlushScripts: func(tb testing.TB) {
			for _, server := range servers(raw) {
				put(tb, server.ScriptFlush(tb.Context()).Err())
			}
		},
		Tamper: func(tb testing.TB, _ store.Owner, id string, t contracttest.Tampering) func() {
			return tamper(tb, raw, prefix, id, t)
		},
		Damage: func(tb testing.TB, _ store.Owner, id string) {
			each(tb, raw, prefix+"*}:s", func(ctx context.Context, key string, _ time.Duration) {
				put(tb, raw.HSet(ctx, key, id, "nonsense").Err())
			})
		},
	}
	if o.Mode != redis.ModeCluster {
		p.PutLegacy = putLegacy(raw)
	}
	return p
}

func putLegacy(raw goredis.UniversalClient) func(tb testing.TB, o store.Owner, id string, score float64, record []byte) {
	return func(tb testing.TB, o store.Owner, id string, score float64, record []byte) {
		ctx := tb.Context()
		index := "user:" + o.User + ":conversations"
		if record != nil {
			put(tb, raw.Set(ctx, "conv:"+id, record, ttl).Err())
		}
		put(tb, raw.ZAdd(ctx, index, goredis.Z{Score: score, Member: id}).Err())
		put(tb, raw.Expire(ctx, index, ttl).Err())
	}
}

// tamper changes a conversation, and gives what takes it back.
func tamper(tb testing.TB, c goredis.UniversalClient, prefix, id string, d contracttest.Tampering) (undo func()) {
	tb.Helper()
	ctx, name := tb.Context(), ""
	find := func(letter string) {
		each(tb, c, prefix+"*}:"+letter+":"+id, func(_ context.Context, key string, _ time.Duration) { name = key })
	}
	find("c")
	if d == contracttest.NoMessages {
		find("m")
	}
	kept, err := c.Dump(ctx, name).Result()
	put(tb, err)
	switch d {
	case contracttest.NewerVersion:
		put(tb, c.HSet(ctx, name, "v", "99").Err())
	case contracttest.BadField:
		put(tb, c.HSet(ctx, name, "turns", "many").Err())
	case contracttest.NoMessages, contracttest.NoFields:
		put(tb, c.Del(ctx, name).Err())
	}
	return func() { put(tb, c.RestoreReplace(ctx, name, ttl, kept).Err()) }
}

func put(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func client(tb testing.TB, url string) *goredis.Client {
	tb.Helper()
	opt, err := goredis.ParseURL(url)
	if err != nil {
		tb.Fatal(err)
	}
	c := goredis.NewClient(opt)
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// each calls f with every key under a prefix and its time to live.
func each(tb testing.TB, c goredis.UniversalClient, prefix string, f func(ctx context.Context, key string, left time.Duration)) {
	tb.Helper()
	ctx := tb.Context()
	for _, server := range servers(c) {
		it := server.Scan(ctx, 0, prefix+"*", 1000).Iterator()
		for it.Next(ctx) {
			left, err := server.PTTL(ctx, it.Val()).Result()
			put(tb, err)
			f(ctx, it.Val(), left)
		}
		put(tb, it.Err())
	}
}

// age moves Redis's clock for the keys of a place: it takes the time off what
// they have left. What falls to zero Redis deletes at once.
func age(tb testing.TB, c goredis.UniversalClient, prefix string, d time.Duration) {
	tb.Helper()
	each(tb, c, prefix, func(ctx context.Context, key string, left time.Duration) {
		if left > 0 {
			put(tb, c.PExpire(ctx, key, left-d).Err())
		}
	})
}

func keys(tb testing.TB, c goredis.UniversalClient, prefix string) []contracttest.Key {
	tb.Helper()
	var out []contracttest.Key
	each(tb, c, prefix, func(_ context.Context, key string, left time.Duration) {
		out = append(out, contracttest.Key{Name: strings.TrimPrefix(key, prefix), TTL: left})
	})
	return out
}
