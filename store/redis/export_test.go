package redis

import "time"

// SetClock has a store go by a clock of the test's instead of Redis's.
func (s *Store) SetClock(now func() time.Time) { s.now = now }
