package redis

import (
	"context"
	"strings"
)

// KeepsAll is the eviction policy under which Redis refuses writes when its
// memory is full instead of deleting what is stored.
const KeepsAll = "noeviction"

// EvictionPolicy asks Redis what it does when its memory is full. Under any
// policy but KeepsAll, conversations may disappear in silence. It is "" where
// Redis does not say.
func (s *Store) EvictionPolicy(ctx context.Context) (policy string, err error) {
	err = s.do(ctx, "EvictionPolicy", func(ctx context.Context) error {
		info, err := s.rdb().Info(ctx, "memory").Result()
		if err != nil {
			return err
		}
		for line := range strings.Lines(info) {
			if p, ok := strings.CutPrefix(strings.TrimSpace(line), "maxmemory_policy:"); ok {
				policy = p
			}
		}
		return nil
	})
	return policy, err
}
