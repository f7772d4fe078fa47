package redis

import (
	"context"
	"errors"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// KeepsAll is the eviction policy under which Redis refuses writes when its
// memory is full instead of deleting what is stored.
const KeepsAll = "noeviction"

// EvictionPolicy asks Redis what it does when its memory is full. Under any
// policy but KeepsAll, conversations may disappear in silence. It is "" where
// Redis does not say, or does not let our user ask: nobody knows then what will
// happen, and the caller should say so. Of many primaries, it is the policy of the first that is not known to
// keep all.
func (s *Store) EvictionPolicy(ctx context.Context) (policy string, err error) {
	parts, err := s.every(ctx, "EvictionPolicy")
	for _, p := range parts {
		err = s.on(ctx, p.node, "EvictionPolicy", func(ctx context.Context, c *client) (err error) {
			policy, err = evictionPolicy(ctx, c)
			return err
		})
		if err != nil || policy != KeepsAll {
			return policy, err
		}
	}
	return policy, err
}

func evictionPolicy(ctx context.Context, c *client) (string, error) {
	const name = "maxmemory-policy"
	info, err := c.Info(ctx, "memory").Result()
	if err != nil && !forbidden(err) {
		return "", err
	}
	for line := range strings.Lines(info) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(line), "maxmemory_policy:"); ok {
			return p, nil
		}
	}
	config, err := c.ConfigGet(ctx, name).Result()
	if err != nil && !forbidden(err) {
		return "", err
	}
	return config[name], nil
}

// forbidden reports whether a server does not let this user run a command, or
// does not have it.
func forbidden(err error) bool {
	var refusal goredis.Error
	if !errors.As(err, &refusal) {
		return false
	}
	code, _ := respKind(refusal)
	return code == "NOPERM" || code == "ERR"
}
