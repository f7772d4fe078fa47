// Package redis keeps conversations in Redis: one node, or anything that looks
// like one, or a cluster of many primaries.
//
// All keys of one owner carry the same hash tag, so that every call touches one
// slot. Under the prefix and the owner's tag {h} there are
//
//	{h}:c:<id>  hash     the conversation's fields (package wire)
//	{h}:m:<id>  list     its messages, one element each
//	{h}:k:<id>  hash     its idempotency records, a field for each key that is not forgotten
//	{h}:l:<id>  string   the lease of the turn that runs, with its own expiry
//	{h}:r:<id>  list     what that turn publishes while somebody follows it elsewhere
//	{h}:ix      zset     the owner's conversations by updatedAt
//	{h}:t:<id>  string   where its turns begin; only when it has many
//	{h}:s       hash     what a list shows of each, and the longest time to live
//	{h}:n       zset     those that are being started, by the end of their leases
//
// Two things differ from what one might expect. Idempotency records share one
// hash per conversation, because "as long as the conversation" would otherwise
// mean renewing every record on every write. And the lease is a key of its own,
// so that it ends by itself.
//
// Redis's clock, the only one that all instances share, is the clock of all that
// is stored: createdAt, updatedAt, the lease, and when a conversation ends.
// Instances may have clocks and times to live as they like. An index is never
// believed: a list shows an entry for as long as its conversation is there.
//
// The index has the form that the first edition gave it, so that either edition
// lists what the other wrote. The longest time to live, which an index of the first
// does not have, is then taken from the end of the index.
//
// Every write is one script and one round trip (two when the server does not
// know the script yet). Reads are plain commands, because scripts wait behind a
// primary that is paused for writes: two round trips for a conversation,
// one if nothing of it is new, and two for a list.
//
// Every call goes through do (call.go), which finds the primary of the owner's slot
// (topology.go), bounds the call, repeats it once where that hides a dead connection,
// and classifies its error. Each primary is a node (node.go), with a circuit breaker
// (breaker.go) before the client in use (client.go).
package redis

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"parley/store"
	"parley/store/fair"
	"parley/store/internal/wire"
)

// Store is a store.Store in Redis.
type Store struct {
	topology topology
	scripts  scripts
	prefix   string
	ttl      time.Duration
	timeout  time.Duration
	maxWrite int
	replicas int // that must have a completed turn
	// addr and database are those of the URL.
	addr, database string
	// readsLegacy says whether legacy records are looked for.
	readsLegacy bool
	large       *fair.Places // to decode large pages
	// now is a clock instead of Redis's; tests alone set it.
	now     func() time.Time
	process *process // this one, whose calls these are
	// tags are for keys that are looked at on a primary.
	tags tags
}

var _ store.Store = (*Store)(nil)

// New makes a Store. It does not connect: a service may start before its Redis.
func New(o Options) (*Store, error) {
	opt, err := goredis.ParseURL(o.URL)
	if err != nil || opt.Network != "tcp" || opt.DB < 0 {
		return nil, ErrURL
	}
	if err := o.check(opt); err != nil {
		return nil, err
	}
	s := &Store{prefix: o.Prefix, ttl: o.TTL, timeout: o.Timeout, maxWrite: o.MaxWriteBytes, replicas: o.WaitReplicas, large: o.Large}
	s.addr, s.database = opt.Addr, strconv.Itoa(opt.DB)
	if s.prefix == "" {
		s.prefix = DefaultPrefix
	}
	// Their keys are in other slots than ours.
	s.readsLegacy = (o.Legacy || s.prefix == DefaultPrefix) && o.Mode != ModeCluster
	if s.ttl <= 0 {
		s.ttl = DefaultTTL
	}
	s.scripts = newScripts(s.ttl)
	if s.timeout <= 0 {
		s.timeout = DefaultTimeout
	}
	if s.maxWrite <= 0 {
		s.maxWrite = DefaultMaxWriteBytes
	}
	connect, err := newConnectors(o, opt)
	if err != nil {
		return nil, err
	}
	bound(opt, s.timeout)
	lookup := o.Lookup
	if lookup == nil {
		lookup = net.DefaultResolver.LookupNetIP
	}
	dialing := func(serverName string) dialFunc {
		return (&dialer{timeout: opt.DialTimeout, lookup: lookup, connect: connect(serverName)}).dial
	}
	// The library logs for the whole process, as plain lines that name hosts,
	// and only what comes back as an error anyway.
	goredis.SetLogger(&logging.VoidLogger{})
	s.process = newProcess()
	m := &maker{opt: *opt, timeout: s.timeout, process: s.process, trace: o.Trace, signIn: signIn{ask: o.Credentials, user: opt.Username, timeout: s.timeout}}
	if o.Credentials != nil {
		m.opt.CredentialsProviderContext = m.signIn.provide
	}
	if o.Trace.RoundTrip != nil || o.Trace.Dialed != nil {
		m.hook = newTracer(o.Trace, s.scripts)
		m.hook.follows = o.Mode == ModeCluster
	}
	if o.Mode == ModeCluster {
		narrow(&m.opt)
		s.topology = newCluster(m, func(addr string) dialFunc { return dialing(o.serverName(addr, opt)) }, append([]string{opt.Addr}, o.Nodes...))
		return s, nil
	}
	if o.Mode == ModeSentinel {
		s.topology = newWatched(m, o, opt.Addr, func(addr string) dialFunc { return dialing(o.serverName(addr, opt)) }, cmp.Or(o.roleInterval, roleInterval))
		return s, nil
	}
	name := cmp.Or(o.TLSServerName, hostOf(opt.Addr))
	s.topology = newFixed(m.node(opt.Addr, dialing(name), nil), cmp.Or(o.roleInterval, roleInterval))
	return s, nil
}

// serverName is the name that the certificate of a node of a cluster must be for.
func (o *Options) serverName(addr string, opt *goredis.Options) string {
	isAddress := func(host string) bool { _, err := netip.ParseAddr(host); return err == nil }
	host := hostOf(addr)
	switch given := hostOf(opt.Addr); {
	case !isAddress(host):
		return host
	case o.TLSServerName != "":
		return o.TLSServerName
	case !isAddress(given):
		return given
	}
	return host
}

// narrow has the client of each of many nodes take less.
func narrow(opt *goredis.Options) {
	opt.PoolSize, opt.MaxConcurrentDials = 16, 4
	opt.ReadBufferSize, opt.WriteBufferSize = 4<<10, 4<<10
}

// bound replaces the library's settings, which let one call take a hundred
// seconds and run a write four times, by such that nothing outlasts the call's
// own budget and nothing is sent twice behind our back.
func bound(opt *goredis.Options, budget time.Duration) {
	opt.ContextTimeoutEnabled = true // else a blocked read ignores its context
	opt.MaxRetries = -1              // 0 means 3
	opt.DialerRetries = 1            // the default of 5 multiplies DialTimeout
	// A dial outlives the caller that wanted it and keeps a place in the pool,
	// so this also bounds how long recovery takes. Short of the budget, so that the
	// caller hears what the dial waited for.
	opt.DialTimeout = min(budget-budget/8, 2*time.Second)
	opt.ReadTimeout, opt.WriteTimeout = budget, budget
	// Short of the budget, so that a caller who only ever waited is told so.
	opt.PoolTimeout = budget / 2
	// Refused credentials are said plainly to a short command only: to a long one
	// from a client without a password Redis answers with a protocol error.
	opt.OnConnect = func(ctx context.Context, conn *goredis.Conn) error { return conn.Ping(ctx).Err() }
	opt.PoolSize, opt.MaxConcurrentDials = 32, 8
	opt.PoolFIFO = true                     // see checkRoles
	opt.PipelinePoolSize = -1               // a second pool doubles the dials of an outage
	opt.ConnMaxIdleTime = 4 * time.Minute   // below the ten minutes after which Azure hangs up
	opt.ConnMaxLifetime = 30 * time.Minute  // heals connections to a demoted primary
	opt.ConnMaxLifetimeJitter = time.Minute // so that not all of them end at once
	opt.DisableIdentity = true              // saves a round trip on each connect
	opt.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// Close implements store.Store.
func (s *Store) Close() error {
	defer s.process.close()
	return s.topology.close()
}

// tag is what the keys of an owner begin with.
func (s *Store) tag(o store.Owner) string { return s.prefix + "{" + wire.OwnerTag(o) + "}:" }

// keys names everything of one conversation in the order of the scripts' KEYS.
func (s *Store) keys(o store.Owner, id string) []string {
	keys, _ := s.allKeys(o, id)
	return keys
}

// allKeys are keys, with room for one more, and the relay, which is the last of the KEYS
// of scripts that need it. They are parts of one text, because a text for each would be
// nine allocations for each call.
func (s *Store) allKeys(o store.Owner, id string) (keys []string, relay string) {
	tag := s.tag(o)
	names := keyNames()
	var text strings.Builder
	text.Grow(len(names) * (len(tag) + len("c:") + len(id)))
	var ends [keyRelay + 1]int
	for i, n := range names {
		text.WriteString(tag)
		text.WriteString(n)
		if strings.HasSuffix(n, ":") {
			text.WriteString(id)
		}
		ends[i] = text.Len()
	}
	all, begin := make([]string, len(names)), 0
	for i, end := range ends {
		all[i], begin = text.String()[begin:end], end
	}
	return all[:keyRelay], all[keyRelay]
}

// Positions in keys.
const (
	keyConversation = iota
	keyMessages
	keyRecords
	keyLease
	keyIndex
	keySummaries
	keyMarks
	keyStarts
	keyRelay
)

// keyNames are what follows the owner in a key. A conversation's own end in a colon and
// go on with its id.
func keyNames() [keyRelay + 1]string {
	return [...]string{
		keyConversation: "c:", keyMessages: "m:", keyRecords: "k:", keyLease: "l:",
		keyIndex: "ix", keySummaries: "s", keyMarks: "t:", keyStarts: "n", keyRelay: "r:",
	}
}

// time is what scripts are told of time: nothing, so that they go by Redis's clock.
func (s *Store) time() string {
	if s.now == nil {
		return ""
	}
	return strconv.FormatInt(s.now().UnixMilli(), 10)
}
