package memory

import (
	"context"

	"parley/store"
)

// RenewLease implements store.Store.
func (s *Store) RenewLease(ctx context.Context, t store.Turn) (store.Signals, error) {
	if err := alive(ctx, "RenewLease"); err != nil {
		return store.Signals{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	c, err := s.ofTurn("RenewLease", t, now)
	if err == nil {
		err = c.holds(t)
	}
	if err != nil {
		return store.Signals{}, err
	}
	c.lease.token, c.lease.until = t.Token, now.Add(store.LeaseTime)
	return c.signals(now), nil
}
