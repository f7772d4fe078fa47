package redis

import (
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// SetClock has a store go by a clock of the test's instead of Redis's.
func (s *Store) SetClock(now func() time.Time) { s.now = now }

// one is the node of a store that has one.
func (s *Store) one() *node { return s.topology.nodes()[0] }

// rdb is the client that such a store uses now.
func (s *Store) rdb() *goredis.Client { return s.one().current.Load().Client }
