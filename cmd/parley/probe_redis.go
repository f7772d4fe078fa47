package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"parley/server/turn"
	"parley/store"
	"parley/store/redis"
	"parley/telemetry"
)

// redisParts are Redis and the issuer of the tokens for it.
func redisParts(c config, _ seams, tel *telemetry.Telemetry) ([]part, func(), error) {
	p := part{name: "redis", stage: turn.StageBegin}
	if c.redisURL == "" {
		p.untried = "conversations are kept in memory (REDIS_URL is not set)"
		return []part{p}, nothing, nil
	}
	credentials, err := openCredentials(c.deployment, tel, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, nil, err
	}
	o := redisOptions(c)
	// What an interrupted probe leaves behind goes by itself.
	o.TTL = time.Minute
	o.Timeout = min(o.Timeout, probeTime*4/5) // to hear from it why there was no answer
	o.Credentials = credentials.ask
	var parts []part
	if method := c.deployment.entra.method; method != "" {
		o.Credentials = credentials.awaited
		parts = append(parts, part{
			name: "redis's token", stage: turn.StageBegin, place: entraPlace(c.deployment.entra),
			try: func(ctx context.Context) (string, error) {
				_, err := credentials.awaited(ctx)
				return "there is a token for Redis, by " + string(method), err
			},
		})
	}
	r, err := redis.New(o)
	if err != nil {
		credentials.close()
		return nil, nil, fmt.Errorf("REDIS_URL: %w", err)
	}
	end := sync.OnceFunc(func() { _ = signedInStore{r, credentials}.Close() })
	at := c.place()
	p.place = at.address
	p.try = func(ctx context.Context) (string, error) {
		// A call that waits for Redis does not see that its context ends.
		defer context.AfterFunc(ctx, func() {
			if errors.Is(ctx.Err(), context.Canceled) {
				end()
			}
		})()
		said, err := askRedis(ctx, r, c.deployment.mode, at.secured)
		return said, store.AsTimeout("probe", err)
	}
	return append(parts, p), end, nil
}

// entraPlace is where tokens for Redis come from.
func entraPlace(e entraSettings) string {
	for _, s := range e.all() {
		if s.name == "REDIS_ENTRA_TENANT_ID" && slices.Contains(s.needed, e.method) {
			return hostPort(e.authority)
		}
	}
	return "this machine's identity service"
}

// awaited gives the credentials as soon as the first fetch has ended.
func (c redisCredentials) awaited(ctx context.Context) (redis.Credentials, error) {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		got, err := c.ask(ctx)
		if err == nil || c.failure() != nil {
			return got, err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return got, err
		}
	}
}

// askRedis finds out what Redis is, and does with it once all that the service does.
func askRedis(ctx context.Context, r *redis.Store, mode redis.Mode, secured bool) (string, error) {
	found := r.Shards(ctx)
	if found.Worst != nil {
		if found.Up > 0 {
			return fmt.Sprintf("%d of %d primaries serve, with %d of %d slots", found.Up, found.Total, found.SlotsServed, found.SlotsTotal), found.Worst
		}
		return "", found.Worst
	}
	primaries, err := r.Primaries(ctx)
	if err != nil {
		return "", err
	}
	said := []string{string(mode)}
	if mode == redis.ModeCluster {
		said = append(said, fmt.Sprintf("%d primaries with %d of %d slots", found.Up, found.SlotsServed, found.SlotsTotal))
	} else {
		said = append(said, role(primaries[0]))
	}
	said = append(said, versions(primaries), tlsWords(secured))
	if err := rehearse(ctx, r); err != nil {
		return "", err
	}
	said = append(said, "a conversation was written, read and deleted, so the user may do all that the service does")
	watch := &redisWatch{policy: r.EvictionPolicy, log: slog.New(slog.DiscardHandler), roleUntold: func() bool {
		return slices.ContainsFunc(primaries, func(p redis.Primary) bool { return !p.RoleKnown })
	}}
	if !watch.look(ctx) {
		_, err := r.EvictionPolicy(ctx)
		return "", err
	}
	warnings := watch.warnings()
	if len(warnings) == 0 {
		said = append(said, "eviction policy "+redis.KeepsAll)
	}
	text := strings.Join(said, ", ")
	for _, w := range warnings {
		text += "; warning: " + w
	}
	return text, nil
}

func role(p redis.Primary) string {
	if p.RoleKnown {
		return "primary"
	}
	return "role not told"
}

// versions are those of the primaries, each once.
func versions(primaries []redis.Primary) string {
	var all []string
	for _, p := range primaries {
		all = append(all, p.Version)
	}
	slices.Sort(all)
	all = slices.DeleteFunc(slices.Compact(all), func(v string) bool { return v == "" })
	if len(all) == 0 {
		return "version not told"
	}
	return "version " + strings.Join(all, " and ")
}

// rehearse has a conversation of nobody's with itself, by every call that the service
// makes, so that a right that is missing shows now.
func rehearse(ctx context.Context, s store.Store) error {
	owner, id := store.Owner{Tenant: "probe", User: uuid.NewString()}, uuid.NewString()
	message := func(n int) []store.Message {
		return []store.Message{{ID: uuid.NewString(), Turn: n, Role: store.RoleAssistant, Kind: store.KindText, Text: "probe"}}
	}
	var held store.Turn
	begin := func(b store.Begin) func() error {
		return func() (err error) {
			b.Owner, b.Conversation, b.Fingerprint, b.Key = owner, id, "probe", uuid.NewString()
			held, err = s.BeginTurn(ctx, b)
			return err
		}
	}
	for _, step := range []func() error{
		begin(store.Begin{New: true}),
		func() error { _, err := s.RenewLease(ctx, held); return err },
		func() error {
			_, _, err := s.Publish(ctx, held, store.Entry{Data: json.RawMessage("{}"), Snapshot: true})
			return err
		},
		func() error {
			_, err := s.Follow(ctx, store.Follow{Owner: owner, Conversation: id, New: true})
			return err
		},
		func() error {
			return s.CompleteTurn(ctx, held, store.Completion{Outcome: store.Outcome{Messages: message(0)}, UpstreamID: "probe"})
		},
		begin(store.Begin{Input: message(1)}),
		func() error { _, _, err := s.Stop(ctx, owner, id); return err },
		func() error { return s.FailTurn(ctx, held, "probe") },
		func() error { _, err := s.Conversation(ctx, owner, id, store.Range{}); return err },
		func() error { _, err := s.List(ctx, owner, store.Page{}); return err },
		func() error { _, err := s.SetStatus(ctx, owner, id, store.StatusCompleted); return err },
		func() error { return s.Delete(ctx, owner, id) },
		func() error { // also looks for a legacy record, where there may be any
			_, err := s.Conversation(ctx, owner, uuid.NewString(), store.Range{})
			if errors.Is(err, store.ErrNotFound) {
				return nil
			}
			return err
		},
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
