package matrix

import (
	"crypto/tls"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/agenttest"
	"parley/contracttest/claims"
	"parley/contracttest/faultproxy"
	"parley/store"
)

// testbed is where a row takes place: a Redis, the proxy in front of it through
// which alone it is reached, and a connection past the proxy.
type testbed struct {
	tb     testing.TB
	row    Row
	redis  Redis
	target Target
	proxy  *faultproxy.Proxy
	admin  *goredis.Client
	tls    *faultproxy.Certificates // nil for plain
	limits
}

// newTestbed makes one, on the shared Redis unless the row needs its own.
func newTestbed(tb testing.TB, t Target, shared Redis, r Row, secure bool) *testbed {
	tb.Helper()
	bed := &testbed{tb: tb, row: r, redis: shared, target: t, limits: measure(tb, t.Bounds)}
	if r.own {
		bed.redis = t.redis(tb, r.flags...)
	}
	if secure {
		bed.tls = faultproxy.NewCertificates(tb)
	}
	bed.proxy = faultproxy.Start(tb, bed.redis.Addr(), faultproxy.WithTLS(bed.config()))
	bed.admin = bed.connect(bed.redis.URL())
	return bed
}

// config is how the proxy secures connections while nothing is wrong.
func (bed *testbed) config() *tls.Config {
	if bed.tls == nil {
		return nil
	}
	return bed.tls.Good
}

// another starts a second Redis.
func (bed *testbed) another() Redis {
	bed.tb.Helper()
	return bed.target.redis(bed.tb)
}

// end ends the fault of the row.
func (bed *testbed) end() {
	bed.tb.Helper()
	if bed.row.heal != nil {
		bed.row.heal(bed)
		return
	}
	bed.proxy.Heal()
}

// bound is what an answer may take, and by which promise; 0 for any time. Over TLS
// many columns shake hands at once, which is work.
func (bed *testbed) bound(c column) (time.Duration, claims.Claim) {
	waits := bed.row.Waits || c.persists() || bed.tls != nil
	switch {
	case !waits && bed.target.Lacks.Has(claims.AtOnce):
		return bed.atOnce(), claims.AtOnce
	case bed.target.Lacks.Has(claims.BoundedStore):
		return bed.waited(), claims.BoundedStore
	}
	return 0, ""
}

// repeats is how often a script of a column may run.
func (bed *testbed) repeats(c column) int {
	if !c.persists() {
		return maxExecutions
	}
	return maxPersisting * int((bed.timeout+Timeout-1)/Timeout)
}

// executions is how often that script of a column ran which ran most often.
func (bed *testbed) executions(s column) int {
	ours := func(c faultproxy.Command) bool {
		return c.Script != "" && slices.ContainsFunc(c.Args, func(a string) bool { return strings.HasPrefix(a, s.prefix()) })
	}
	scripts := map[string]bool{}
	bed.proxy.Came(func(c faultproxy.Command) bool {
		if ours(c) {
			scripts[c.Script] = true
		}
		return false
	})
	most := 0
	for sha := range scripts {
		most = max(most, bed.proxy.Executions(func(c faultproxy.Command) bool { return c.Script == sha && ours(c) }))
	}
	return most
}

func (bed *testbed) connect(url string) *goredis.Client {
	bed.tb.Helper()
	opt, err := goredis.ParseURL(url)
	if err != nil {
		bed.tb.Fatal(err)
	}
	c := goredis.NewClient(opt)
	bed.tb.Cleanup(func() { _ = c.Close() })
	return c
}

// each calls f with every key of a pattern.
func (bed *testbed) each(pattern string, f func(key string)) {
	bed.tb.Helper()
	ctx := bed.tb.Context()
	var keys []string
	it := bed.admin.Scan(ctx, 0, pattern, 1000).Iterator()
	for it.Next(ctx) {
		keys = append(keys, it.Val())
	}
	if err := it.Err(); err != nil {
		bed.tb.Fatal(err)
	}
	for _, k := range keys {
		f(k)
	}
}

// lapse ends the lease of every turn of a column now. Where it is not known how a
// service keeps them, they end by themselves.
func (bed *testbed) lapse(s column) {
	bed.tb.Helper()
	if !bed.target.Lacks.Has(claims.KeyLayout) {
		return
	}
	bed.each(s.prefix()+"*:l:*", func(key string) { bed.do("DEL", key) })
}

// newColumn makes a column on a testbed, with a service or a store of its own.
type newColumn func(bed *testbed, t Target) column

// columns are all that is asked of a target under each fault of Redis.
func columns(t Target) []newColumn {
	var all []newColumn
	for _, r := range routes() {
		if t.asks(r) {
			all = append(all, func(bed *testbed, t Target) column { return bed.route(t, r) })
		}
	}
	if t.asksHealth() {
		all = append(all, func(bed *testbed, t Target) column { return &healthColumn{*bed.route(t, route{})} })
	}
	for _, method := range slices.Sorted(maps.Keys(storeMethods())) {
		if t.Store != nil && t.tries(storeColumnName(method)) {
			all = append(all, func(bed *testbed, t Target) column { return bed.method(t, method) })
		}
	}
	return all
}

func (bed *testbed) route(t Target, r route) *routeColumn {
	bed.tb.Helper()
	c := &routeColumn{
		route: r, tb: bed.tb, client: client(bed.tb), keys: uuid.NewString() + ":",
		agent: agenttest.Start(bed.tb), id: uuid.NewString(), down: bed.row.Down, limits: bed.limits, lacks: t.Lacks,
	}
	if c.client.Timeout = bed.GiveUp; r.commit {
		c.client.Timeout += Patience // it is on its way until all other columns are ready
	}
	w := bed.settings(c)
	w.AgentURL, w.AgentTimeout = c.agent.URL(), Patience
	c.base = t.Service(bed.tb, w)
	return c
}

// settings lead a column through the proxy. Who persists does so for as long as
// the timeout is, so there it is short in any case.
func (bed *testbed) settings(c column) Settings {
	w := Settings{RedisURL: Through(bed.redis, bed.proxy), Prefix: c.prefix(), Timeout: Patience}
	if bed.row.timesOut() || c.persists() || !bed.target.Lacks.Has(claims.AtOnce) {
		w.Timeout = bed.timeout
	}
	if bed.row.url != nil {
		w.RedisURL = bed.row.url(bed)
	}
	if bed.tls != nil {
		w.CAFile = bed.tls.CAFile
		w.RedisURL = strings.Replace(w.RedisURL, "redis://", "rediss://", 1)
	}
	return w
}

// method is a column of the store.
func (bed *testbed) method(t Target, method string) *storeColumn {
	bed.tb.Helper()
	c := &storeColumn{
		method: method, tb: bed.tb, class: t.Class, keys: uuid.NewString() + ":", id: uuid.NewString(),
		owner: store.Owner{Tenant: uuid.NewString(), User: uuid.NewString()},
	}
	c.s = t.Store(bed.tb, bed.settings(c))
	return c
}
