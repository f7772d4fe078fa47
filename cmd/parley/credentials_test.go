package main

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// Without a token Redis is not asked for anything, and callers are told that it is
// the credentials that are missing.
func TestNoTokenForRedis(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	var dialed atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			dialed.Add(1)
			_ = c.Close()
		}
	}()
	var logs printed
	base := startService(t, &logs, "COPILOT_EMULATOR", "true", "REDIS_URL", "rediss://"+l.Addr().String(), "REDIS_ENTRA", "client-secret",
		"REDIS_ENTRA_CLIENT_ID", "id", "REDIS_ENTRA_TENANT_ID", "t", "REDIS_ENTRA_CLIENT_SECRET", mark, "REDIS_ENTRA_AUTHORITY", "https://127.0.0.1:1")
	for _, path := range []string{"/api/chat/start", "/api/chat/orchestrate"} {
		a := call(t, base+path, m{"query": "hello"})
		if a.Status != 503 || a.Class != "store_credentials" || a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %+v", path, a)
		}
	}
	waitFor(t, func() bool { return call(t, base+"/health", nil).Store.LastError != "" })
	if h := call(t, base+"/health", nil); h.Status != 503 || h.Redis != "disconnected" || h.Store.LastError != "store_credentials" {
		t.Errorf("health: %+v", h)
	}
	waitFor(t, func() bool { return strings.Contains(logs.String(), "no new token for Redis can be had") })
	if n := dialed.Load(); n != 0 {
		t.Errorf("Redis was dialed %d times", n)
	}
	if strings.Contains(logs.String(), mark) {
		t.Errorf("the log has the secret: %s", logs.String())
	}
}
