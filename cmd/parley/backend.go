package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"parley/store"
	"parley/store/fair"
	"parley/store/memory"
	"parley/store/redis"
	"parley/telemetry"
)

// backend is the store that was chosen, with what the service asks of it beside
// store.Store.
type backend struct {
	store.Store
	name     string                             // "memory" or "redis"
	mode     redis.Mode                         // of Redis; "" in memory
	secured  bool                               // Redis is reached over TLS
	shards   func(context.Context) store.Shards // asks all primaries of a cluster; nil for a store of one shard
	watch    func(context.Context)              // runs until its context is done
	starved  func(time.Duration) bool           // see redis.Store.Starved; nil for the store in memory
	warnings func() []string                    // conditions that an operator should know of
	// breakable has the store fail on purpose; nil without the page /try, and always with
	// Redis.
	breakable *breakableStore
}

// title says to a person which it is.
func (b backend) title() string {
	if b.mode == "" {
		return b.name
	}
	return fmt.Sprintf("%s (%s, %s)", b.name, b.mode, tlsWords(b.secured))
}

// tlsWords say to a person whether something is reached over TLS.
func tlsWords(secured bool) string {
	if secured {
		return "over TLS"
	}
	return "without TLS"
}

// openStore is the one place that chooses a backend: Redis when REDIS_URL is
// set, memory when it is not, and never one for the other.
func openStore(c config, with seams, large *fair.Places, tel *telemetry.Telemetry, log *slog.Logger) (backend, error) {
	if c.redisURL == "" {
		var s store.Store = memory.New(memory.Options{TTL: c.ttl, MaxConversations: c.maxConversations, MaxBytes: c.maxMemoryBytes, Large: large})
		if with.store != nil {
			s = with.store(s)
		}
		b := backend{name: "memory", watch: func(context.Context) {}, warnings: func() []string { return nil }}
		if c.tryPage {
			b.breakable = &breakableStore{next: s, log: log}
			b.warnings, s = b.breakable.warnings, b.breakable
		}
		b.Store = tel.Store(s, telemetry.StoreOptions{System: "memory"})
		return b, nil
	}
	credentials, err := openCredentials(c.deployment, tel, log)
	if err != nil {
		return backend{}, err
	}
	o := redisOptions(c)
	o.Large, o.Trace, o.Credentials = large, redisTrace(tel, log), credentials.ask
	r, err := redis.New(o)
	if err != nil {
		credentials.close()
		return backend{}, fmt.Errorf("REDIS_URL: %w", err)
	}
	signedIn := signedInStore{r, credentials}
	if err := observeRedis(r, tel); err != nil {
		return backend{}, errors.Join(err, signedIn.Close())
	}
	var s store.Store = signedIn
	if with.store != nil {
		s = with.store(s)
	}
	host, port, database := r.Address()
	watch := &redisWatch{policy: r.EvictionPolicy, roleUntold: r.RoleUntold, log: log}
	observed := tel.Store(s, telemetry.StoreOptions{
		System: "redis", Operation: redis.Operation, Address: host, Port: port, Namespace: database,
	})
	var shards func(context.Context) store.Shards
	if sharded, ok := observed.(store.Sharded); ok && c.deployment.mode == redis.ModeCluster {
		shards = sharded.Shards
	}
	return backend{
		Store: observed, shards: shards, name: "redis", mode: c.deployment.mode, secured: c.place().secured, watch: watch.run, starved: r.Starved,
		warnings: func() []string { return slices.Concat(watch.warnings(), credentials.warnings()) },
	}, nil
}

// redisOptions are what the settings say of Redis.
func redisOptions(c config) redis.Options {
	return redis.Options{
		URL: c.redisURL, RootCAs: c.redisCAs, CertFile: c.redisCertFile, KeyFile: c.redisKeyFile,
		Prefix: c.redisPrefix, Legacy: c.redisLegacy, TTL: c.ttl, Timeout: c.redisTimeout,
		Mode: c.deployment.mode, Nodes: c.deployment.nodes, TLSServerName: c.deployment.tlsServerName, WaitReplicas: c.deployment.waitReplicas,
		SentinelMaster: c.deployment.sentinelMaster, SentinelUser: c.deployment.sentinelUser, SentinelPassword: c.deployment.sentinelPassword,
		Lookup: newLookups().netIP,
	}
}
