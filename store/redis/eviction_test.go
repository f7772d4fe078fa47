package redis

import (
	"errors"
	"testing"
	"time"

	"parley/contracttest/redistest"
	"parley/store"
)

// The eviction policy is read by whichever command is allowed, and where none
// is, that is no failure and no policy.
func TestEvictionPolicy(t *testing.T) {
	server := redistest.Start(t, "--maxmemory-policy", "volatile-lru")
	root := admin(t, server)
	for name, c := range map[string]struct {
		rights []any
		want   string
	}{
		"all":       {[]any{"+@all"}, "volatile-lru"},
		"no INFO":   {[]any{"+@all", "-info"}, "volatile-lru"},
		"no CONFIG": {[]any{"+@all", "-config"}, "volatile-lru"},
		"neither":   {[]any{"+@all", "-info", "-config"}, ""},
	} {
		if err := root.Do(t.Context(), append([]any{"ACL", "SETUSER", "limited", "reset", "on", ">secret", "~*"}, c.rights...)...).Err(); err != nil {
			t.Fatal(err)
		}
		policy, err := newStore(t, "redis://limited:secret@"+server.Addr(), 5*time.Second).EvictionPolicy(t.Context())
		if err != nil || policy != c.want {
			t.Errorf("%s: %q, %v", name, policy, err)
		}
	}
	if _, err := newStore(t, "redis://limited:wrong@"+server.Addr(), 5*time.Second).EvictionPolicy(t.Context()); !errors.Is(err, store.ErrAuth) {
		t.Errorf("with a wrong password: %v", err)
	}
}
