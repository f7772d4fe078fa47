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
// happen, and the caller should say so.
func (s *Store) EvictionPolicy(ctx context.Context) (policy string, err error) {
	const name = "maxmemory-policy"
	err = s.do(ctx, "EvictionPolicy", func(ctx context.Context) error {
		info, err := s.rdb().Info(ctx, "memory").Result()
		if err != nil && !forbidden(err) {
			return err
		}
		for line := range strings.Lines(info) {
			if p, ok := strings.CutPrefix(strings.TrimSpace(line), "maxmemory_policy:"); ok {
				policy = p
				return nil
			}
		}
		config, err := s.rdb().ConfigGet(ctx, name).Result()
		if err != nil && !forbidden(err) {
			return err
		}
		policy = config[name]
		return nil
	})
	return policy, err
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
