package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"parley/store/redis"
)

// What may lose conversations in silence is said in the log, once, and as a
// warning for as long as it is so; also that it cannot be found out.
func TestRedisWatch(t *testing.T) {
	for name, c := range map[string]struct {
		policy string
		err    error
		untold bool
		log    string   // part of the line
		warn   []string // part of each
	}{
		"keeps all":    {policy: redis.KeepsAll},
		"evicts":       {policy: "volatile-lru", log: "volatile-lru", warn: []string{"volatile-lru"}},
		"hidden":       {log: "cannot be read", warn: []string{"cannot be read"}},
		"away":         {err: errors.New("away")},
		"role unknown": {policy: redis.KeepsAll, untold: true, warn: []string{"HELLO"}},
		"all of it":    {untold: true, log: "cannot be read", warn: []string{"cannot be read", "HELLO"}},
	} {
		var log bytes.Buffer
		w := &redisWatch{
			policy:     func(context.Context) (string, error) { return c.policy, c.err },
			roleUntold: func() bool { return c.untold }, log: slog.New(slog.NewTextHandler(&log, nil)),
		}
		for range 2 {
			if got := w.look(t.Context()); got != (c.err == nil) {
				t.Errorf("%s: an answer: %v", name, got)
			}
		}
		lines := strings.Count(log.String(), "\n")
		if lines != min(1, len(c.log)) || !strings.Contains(log.String(), c.log) {
			t.Errorf("%s: logged %q", name, log.String())
		}
		got := w.warnings()
		if len(got) != len(c.warn) {
			t.Errorf("%s: warns %q", name, got)
			continue
		}
		for i, part := range c.warn {
			if !strings.Contains(got[i], part) {
				t.Errorf("%s: warns %q", name, got)
			}
		}
	}
}
