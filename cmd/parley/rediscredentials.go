package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"parley/server"
	"parley/store"
	"parley/store/redis"
	"parley/store/redis/entra"
	"parley/telemetry"
)

// redisCredentials are where the store gets what it signs in to Redis with.
type redisCredentials struct {
	ask      func(context.Context) (redis.Credentials, error) // nil for what REDIS_URL says
	failure  func() error                                     // of the last fetch of a token; nil if it did not fail
	warnings func() []string
	close    func() // after the store
}

// openCredentials begins to fetch tokens where Redis is shown those.
func openCredentials(d deployment, tel *telemetry.Telemetry, log *slog.Logger) (redisCredentials, error) {
	c := redisCredentials{failure: func() error { return nil }, warnings: func() []string { return nil }, close: func() {}}
	switch {
	case d.entra.method != "":
		source, err := entra.New(d.entra.options(tel, log))
		if err != nil {
			return c, fmt.Errorf("REDIS_ENTRA: %w", err)
		}
		c.ask, c.failure, c.close = source.Credentials, source.Failure, source.Close
		c.warnings = func() []string {
			if err := source.Failure(); err != nil {
				return []string{"no new token for Redis can be had, and the last one is good for a limited time: " + err.Error()}
			}
			return nil
		}
	case d.passwordFile != "":
		c.ask = redis.PasswordFile(d.passwordFile)
	}
	return c, nil
}

// options are the settings as package entra wants them.
func (e entraSettings) options(tel *telemetry.Telemetry, log *slog.Logger) entra.Options {
	o := entra.Options{
		Method: entra.Method(e.method), ClientID: e.client, Secret: e.secret, ObjectID: e.object, Scope: e.scope,
		Told: func(event entra.Event) { tellOfTokens(log, event) },
	}
	if o.Method != entra.ManagedIdentity {
		o.Authority = strings.TrimSuffix(e.authority, "/") + "/" + e.tenant
	}
	if o.Method == entra.WorkloadIdentity {
		o.TokenFile = e.tokenFile
	}
	watched := tel.TokenIssuer(telemetry.TokenForRedis, o.Authority, store.ErrCredentials)
	o.Fetch, o.Observed = watched.Fetch, watched.Transport
	return o
}

// tellOfTokens logs that tokens stop coming, or come again.
func tellOfTokens(log *slog.Logger, e entra.Event) {
	left := slog.Float64("token_left_s", e.Left.Seconds())
	if e.Err == nil {
		log.LogAttrs(context.Background(), slog.LevelInfo, "tokens for Redis come again", left)
		return
	}
	log.LogAttrs(context.Background(), slog.LevelWarn, "no new token for Redis can be had",
		slog.String("class", server.Class(e.Err)), slog.String("error", e.Err.Error()), left)
}

// signedInStore is a store whose credentials end with it.
type signedInStore struct {
	*redis.Store
	credentials redisCredentials
}

// Close implements store.Store.
func (s signedInStore) Close() error {
	defer s.credentials.close()
	return s.Store.Close()
}
