package redis

import (
	"context"

	"parley/store"
)

// maxPruned is how many entries of an index one script looks at, and maxProbed how
// many are looked at before an owner is told of the quota.
const (
	maxPruned = 100
	maxProbed = 2000
)

// prune takes out of an owner's index what has ended, the oldest first. An entry may
// outlive its conversation, when that was written by an instance with a shorter time
// to live.
func (s *Store) prune(ctx context.Context, c *client, o store.Owner) (ended bool, err error) {
	at := s.at(o, "")
	for from := int64(0); from < maxProbed && !ended; from += maxPruned {
		ids, err := c.ZRange(ctx, at.keys[keyIndex], from, from+maxPruned-1).Result()
		if err != nil || len(ids) == 0 {
			return false, err
		}
		probe := at
		probe.keys = append([]string(nil), at.keys...)
		args := make([]any, len(ids))
		for i, id := range ids {
			probe.keys = append(probe.keys, s.keys(o, id)[keyConversation])
			args[i] = id
		}
		r, err := s.eval(ctx, c, s.scripts.prune, probe, args...)
		if err != nil {
			return false, err
		}
		f, err := r.rest(1)
		if err != nil {
			return false, err
		}
		ended = f[0] != "0"
	}
	return ended, nil
}
