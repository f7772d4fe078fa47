package main

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
)

// machine is the identity service of a machine of Azure. Its tokens are let in by a
// Redis.
type machine struct {
	t     *testing.T
	redis *goredis.Client

	mu     sync.Mutex
	away   bool
	life   time.Duration
	tokens []string
}

func (m *machine) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	claims := fmt.Sprintf(`{"oid":"object-id","jti":"MARKED%d"}`, len(m.tokens))
	token := "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".MARKED"
	if err := m.redis.Do(m.t.Context(), "ACL", "SETUSER", "object-id", "on", "~*", "+@all", ">"+token).Err(); err != nil {
		m.t.Errorf("ACL SETUSER: %v", err)
	}
	m.tokens = append(m.tokens, token)
	_, _ = fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_on":"%d","resource":"https://redis.azure.com"}`, token, time.Now().Add(m.life).Unix())
}

func (m *machine) is(away bool, life time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.away, m.life = away, life
}

// The service signs in to Redis with the tokens of its machine: it starts without
// one, says so, works once there are, warns while no new one comes, and no token is in
// its log.
func TestRedisByManagedIdentity(t *testing.T) {
	server := redistest.Start(t)
	admin := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = admin.Close() })
	m := &machine{t: t, redis: admin, away: true}
	web := httptest.NewServer(m)
	t.Cleanup(web.Close)
	t.Setenv("IDENTITY_ENDPOINT", web.URL)
	t.Setenv("IDENTITY_HEADER", "h")
	certs := faultproxy.NewCertificates(t)
	p := faultproxy.Start(t, server.Addr(), faultproxy.WithTLS(certs.Good))
	_, settings := agent(t)
	var logs sharedBuffer
	base := startService(t, &logs, append(settings, "REDIS_URL", "rediss://"+p.Addr(), "REDIS_CA_FILE", certs.CAFile, "REDIS_ENTRA", "managed-identity")...)

	health := func() string {
		a := call(t, base+"/health", nil)
		said := fmt.Sprint(a.Status)
		for _, w := range a.Warnings {
			if _, reason, ok := strings.Cut(w, "no credentials to be had ("); ok {
				said += ", " + strings.TrimSuffix(reason, ")")
			}
		}
		return said
	}

	if a := call(t, base+"/api/chat/start", map[string]any{}); a.Status != 503 || a.Class != "store_credentials" || a.Header.Get("Retry-After") == "" {
		t.Errorf("without a token: %d %s", a.Status, a.Class)
	}
	waitFor(t, func() bool { return health() == "503, the token source answers with status 503" })
	if dialed, _ := p.Conns(); dialed != 0 {
		t.Errorf("Redis was dialed %d times without a token", dialed)
	}
	m.is(false, 4*time.Second)
	waitFor(t, func() bool { return call(t, base+"/api/chat/start", map[string]any{}).Status == 200 })
	waitFor(t, func() bool { return health() == "200" })
	m.is(true, 0)
	waitFor(t, func() bool { return health() == "200, the token source answers with status 503" })
	if a := call(t, base+"/api/chat/start", map[string]any{}); a.Status != 200 {
		t.Errorf("with a token that is still good: %d %s", a.Status, a.Class)
	}
	m.is(false, time.Hour)
	waitFor(t, func() bool { return strings.Count(logs.String(), "tokens for Redis come again") == 2 })
	if text := logs.String(); strings.Contains(text, "MARKED") || strings.Count(text, "no new token for Redis can be had") != 2 {
		t.Errorf("the log has a token in it, or not what happened:\n%s", text)
	}
}

// The password in the file is that of the moment: the service starts, loses the file
// and gets it back.
func TestRedisPasswordFile(t *testing.T) {
	p := faultproxy.Start(t, redistest.Start(t, "--requirepass", "MARKED").Addr())
	path := filepath.Join(t.TempDir(), "password")
	write := func() {
		t.Helper()
		if err := os.WriteFile(path, []byte("MARKED\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write()
	_, settings := agent(t)
	var logs sharedBuffer
	base := startService(t, &logs, append(settings, "REDIS_URL", "redis://"+p.Addr(), "REDIS_PASSWORD_FILE", path)...)
	if a := call(t, base+"/api/chat/start", map[string]any{}); a.Status != 200 {
		t.Fatalf("with a password: %d %s", a.Status, a.Class)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if a := call(t, base+"/api/chat/start", map[string]any{}); a.Status != 200 {
		t.Errorf("without it, with connections open: %d %s", a.Status, a.Class)
	}
	p.KillConns(faultproxy.FIN)
	waitFor(t, func() bool {
		a := call(t, base+"/api/chat/start", map[string]any{})
		return a.Status == 503 && a.Class == "store_credentials"
	})
	write()
	if a := call(t, base+"/api/chat/start", map[string]any{}); a.Status != 200 {
		t.Errorf("with the file again: %d %s", a.Status, a.Class)
	}
	if strings.Contains(logs.String(), "MARKED") {
		t.Error("the password is in the log")
	}
}
