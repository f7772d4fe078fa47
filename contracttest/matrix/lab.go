package matrix

import (
	"crypto/tls"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
	"parley/store"
)

// lab is where a row takes place: a Redis, the proxy in front of it through
// which alone it is reached, and a connection past the proxy.
type lab struct {
	tb    testing.TB
	row   Row
	redis *redistest.Server
	proxy *faultproxy.Proxy
	admin *goredis.Client
	lag   *lag
	tls   *faultproxy.Certificates // nil for plain
}

// newLab makes one, on the shared Redis unless the row needs its own.
func newLab(tb testing.TB, shared *redistest.Server, r Row, secure bool) *lab {
	tb.Helper()
	l := &lab{tb: tb, row: r, redis: shared, lag: watchLag(tb)}
	if r.own {
		l.redis = redistest.Start(tb, r.flags...)
	}
	if secure {
		l.tls = faultproxy.NewCertificates(tb)
	}
	l.proxy = faultproxy.Start(tb, l.redis.Addr(), faultproxy.WithTLS(l.config()))
	l.admin = l.connect(l.redis.URL())
	return l
}

// config is how the proxy secures connections while nothing is wrong.
func (l *lab) config() *tls.Config {
	if l.tls == nil {
		return nil
	}
	return l.tls.Good
}

// another starts a second Redis.
func (l *lab) another() *redistest.Server {
	l.tb.Helper()
	return redistest.Start(l.tb)
}

// end ends the fault of the row.
func (l *lab) end() {
	l.tb.Helper()
	if l.row.heal != nil {
		l.row.heal(l)
		return
	}
	l.proxy.Heal()
}

// executions is how often that script of a column ran which ran most often.
func (l *lab) executions(s subject) int {
	ours := func(c faultproxy.Command) bool {
		return c.Script != "" && slices.ContainsFunc(c.Args, func(a string) bool { return strings.HasPrefix(a, s.prefix()) })
	}
	scripts := map[string]bool{}
	l.proxy.Came(func(c faultproxy.Command) bool {
		if ours(c) {
			scripts[c.Script] = true
		}
		return false
	})
	most := 0
	for sha := range scripts {
		most = max(most, l.proxy.Executions(func(c faultproxy.Command) bool { return c.Script == sha && ours(c) }))
	}
	return most
}

func (l *lab) connect(url string) *goredis.Client {
	l.tb.Helper()
	opt, err := goredis.ParseURL(url)
	if err != nil {
		l.tb.Fatal(err)
	}
	c := goredis.NewClient(opt)
	l.tb.Cleanup(func() { _ = c.Close() })
	return c
}

// each calls f with every key of a pattern.
func (l *lab) each(pattern string, f func(key string)) {
	l.tb.Helper()
	ctx := l.tb.Context()
	var keys []string
	it := l.admin.Scan(ctx, 0, pattern, 1000).Iterator()
	for it.Next(ctx) {
		keys = append(keys, it.Val())
	}
	if err := it.Err(); err != nil {
		l.tb.Fatal(err)
	}
	for _, k := range keys {
		f(k)
	}
}

// lapse ends the lease of every turn of a column now.
func (l *lab) lapse(s subject) {
	l.tb.Helper()
	l.each(s.prefix()+"*:l:*", func(key string) { l.do("DEL", key) })
}

// routes are the columns of the service, each with a service of its own.
func (l *lab) routes(t Target) []subject {
	l.tb.Helper()
	var all []subject
	for _, r := range routes() {
		all = append(all, l.route(t, r))
	}
	return append(all, &healthColumn{*l.route(t, route{})})
}

func (l *lab) route(t Target, r route) *routeColumn {
	l.tb.Helper()
	c := &routeColumn{
		route: r, tb: l.tb, client: client(l.tb), keys: uuid.NewString() + ":",
		agent: newAgent(l.tb), id: uuid.NewString(), down: l.row.Down,
	}
	w := l.wiring(c.keys)
	w.AgentURL, w.AgentTimeout = c.agent.url, 20*AgentTimeout
	c.base = t.Service(l.tb, w)
	return c
}

func (l *lab) wiring(prefix string) Wiring {
	w := Wiring{RedisURL: "redis://" + l.proxy.Addr(), Prefix: prefix, Timeout: Timeout}
	if l.row.url != nil {
		w.RedisURL = l.row.url(l)
	}
	if l.tls != nil {
		w.CAFile = l.tls.CAFile
		w.RedisURL = strings.Replace(w.RedisURL, "redis://", "rediss://", 1)
	}
	return w
}

// stores are the columns of the store, each with a store of its own.
func (l *lab) stores(t Target) []subject {
	l.tb.Helper()
	var all []subject
	for _, method := range slices.Sorted(maps.Keys(storeMethods())) {
		c := &storeColumn{
			method: method, tb: l.tb, class: t.Class, keys: uuid.NewString() + ":", id: uuid.NewString(),
			owner: store.Owner{Tenant: uuid.NewString(), User: uuid.NewString()},
		}
		c.s = t.Store(l.tb, l.wiring(c.keys))
		all = append(all, c)
	}
	return all
}
