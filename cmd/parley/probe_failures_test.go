package main

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
)

// admin is a client of the library's, for what an administrator does.
func (w *world) admin(t *testing.T) *goredis.Client {
	t.Helper()
	c := goredis.NewClient(&goredis.Options{Addr: w.redis.Addr(), Password: mark})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// statusAt serves one status, whatever is asked.
func statusAt(t *testing.T, status int) string {
	t.Helper()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	t.Cleanup(web.Close)
	return web.URL
}

// Of a part that fails its class and stage are said, and why; the others are as before.
func TestProbeOfWhatFails(t *testing.T) {
	w := newWorld(t)
	admin := w.admin(t)
	do := func(args ...any) {
		t.Helper()
		if err := admin.Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	noFault := func() {}
	tlsAs := func(certificate string) string {
		configs := map[string]func() *faultproxy.Proxy{
			"expired": func() *faultproxy.Proxy {
				return faultproxy.Start(t, w.redis.Addr(), faultproxy.WithTLS(w.certs.Expired))
			},
			"other host": func() *faultproxy.Proxy {
				return faultproxy.Start(t, w.redis.Addr(), faultproxy.WithTLS(w.certs.WrongHost))
			},
			"unknown": func() *faultproxy.Proxy {
				return faultproxy.Start(t, w.redis.Addr(), faultproxy.WithTLS(w.certs.UnknownCA))
			},
		}
		return "rediss://:" + mark + "@" + configs[certificate]().Addr()
	}
	for _, c := range []struct {
		name     string
		settings []string
		fault    func()
		mend     func()
		failed   map[string]string // pattern of the line of each part that fails
	}{
		{"nobody listens for Redis", []string{"REDIS_URL", "rediss://:" + mark + "@127.0.0.1:1"}, noFault, noFault, map[string]string{
			"redis": `127\.0\.0\.1:1  \d+ ms  store_unreachable at stage begin \(connection refused\): Redis: refused, .*telemetry/README\.md#store_unreachable$`,
		}},
		{"Redis is silent", nil, func() { w.proxy.Set(faultproxy.BlackHole(faultproxy.Replies, faultproxy.AllConns)) }, w.proxy.Heal, map[string]string{
			"redis": `store_timeout at stage begin \(no reply: `,
		}},
		{"an expired certificate", []string{"REDIS_URL", tlsAs("expired")}, noFault, noFault, map[string]string{"redis": `store_unreachable .*\(certificate has expired`}},
		{"another's certificate", []string{"REDIS_URL", tlsAs("other host")}, noFault, noFault, map[string]string{"redis": `store_unreachable .*\(certificate is for another host`}},
		{"an unknown authority", []string{"REDIS_URL", tlsAs("unknown")}, noFault, noFault, map[string]string{"redis": `store_unreachable .*\(certificate of an unknown authority`}},
		{"no TLS at Redis", []string{"REDIS_URL", "redis://:" + mark + "@" + w.proxy.Addr(), "REDIS_CA_FILE", ""}, noFault, noFault, map[string]string{"redis": `store_unreachable at stage begin`}},
		{"a wrong password", []string{"REDIS_URL", "rediss://:wrong@" + w.proxy.Addr()}, noFault, noFault, map[string]string{"redis": `store_auth at stage begin \(WRONGPASS\): Redis refuses`}},
		{"no password", []string{"REDIS_URL", "rediss://" + w.proxy.Addr()}, noFault, noFault, map[string]string{"redis": `store_auth at stage begin \(NOAUTH`}},
		{"a user who may not write lists", []string{"REDIS_URL", "rediss://limited:" + mark + "@" + w.proxy.Addr()}, func() {
			do("ACL", "SETUSER", "limited", "on", ">"+mark, "~*", "+@all", "-rpush")
		}, noFault, map[string]string{"redis": `store_auth at stage begin \(NOPERM, in Publish\): Redis refuses`}},
		{"a user who may not run scripts", []string{"REDIS_URL", "rediss://limited:" + mark + "@" + w.proxy.Addr()}, func() {
			do("ACL", "SETUSER", "limited", "reset", "on", ">"+mark, "~*", "+@all", "-evalsha")
		}, noFault, map[string]string{"redis": `store_auth at stage begin \(NOPERM, the command evalsha, in BeginTurn\): Redis refuses`}},
		{"a user who may not look at ours", []string{"REDIS_URL", "rediss://limited:" + mark + "@" + w.proxy.Addr()}, func() {
			do("ACL", "SETUSER", "limited", "reset", "on", ">"+mark, "~other:*", "+@all")
		}, noFault, map[string]string{"redis": `store_auth at stage begin \(NOPERM`}},
		{"no memory left", nil, func() { do("CONFIG", "SET", "maxmemory", "1") }, func() { do("CONFIG", "SET", "maxmemory", "0") }, map[string]string{
			"redis": `store_full at stage begin \(OOM, in BeginTurn\): Redis is out of memory`,
		}},
		{"a replica", nil, func() { do("REPLICAOF", "127.0.0.1", "1"); do("CONFIG", "SET", "replica-serve-stale-data", "yes") }, func() { do("REPLICAOF", "NO", "ONE") }, map[string]string{
			"redis": `store_readonly at stage begin \(the server is a replica`,
		}},
		{"too few replicas", []string{"REDIS_WAIT_REPLICAS", "1"}, noFault, noFault, map[string]string{
			"redis": `store_timeout at stage complete \(.*in CompleteTurn\)`,
		}},
		{"no cluster", []string{"REDIS_MODE", "cluster"}, noFault, noFault, map[string]string{"redis": `store_misconfigured at stage begin \(the server is no node of a cluster\)`}},
		{"no sentinel", []string{"REDIS_MODE", "sentinel", "REDIS_SENTINEL_MASTER", "m"}, noFault, noFault, map[string]string{"redis": `store_`}},
		{"the issuer fails", nil, func() {
			w.issuer.Break(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(500) })
		}, func() { w.issuer.Break(nil) }, map[string]string{"signing keys": `auth_unavailable at stage auth \(the issuer answered with status 500\): `}},
		{"nobody listens for keys", []string{"AUTH_JWKS_URL", "https://127.0.0.1:1/keys?sig=" + mark}, noFault, noFault, map[string]string{
			"signing keys": `127\.0\.0\.1:1 .*auth_unavailable at stage auth \(.*refused`,
		}},
		{"our secret is refused", nil, func() {
			answers(400, `{"error":"invalid_client","error_description":"`+mark+`","error_codes":[7000222]}`)(w.tokens)
		}, func() { w.tokens.faulty.Store(nil) }, map[string]string{
			"agent's token": `token_unavailable at stage token \(AADSTS7000222, client_refused, .*\): the issuer of our own tokens`,
			"agent":         `token_unavailable at stage token .*the agent was not asked`,
		}},
		{"nobody listens for tokens", []string{"COPILOT_AUTHORITY", "https://127.0.0.1:1"}, noFault, noFault, map[string]string{
			"agent's token": `token_unavailable at stage token \(unreachable, `, "agent": `token_unavailable at stage token`,
		}},
		{"nobody listens for the agent", []string{"COPILOT_DIRECT_CONNECT_URL", "http://127.0.0.1:1/agent?sig=" + mark}, noFault, noFault, map[string]string{
			"agent": `upstream_unreachable at stage upstream \(unreachable, .*refused\): the agent: refused`,
		}},
		{"the agent refuses the token", []string{"COPILOT_DIRECT_CONNECT_URL", statusAt(t, 401) + "/agent"}, noFault, noFault, map[string]string{
			"agent": `upstream_rejected at stage upstream \(status 401\): the agent answered another 4xx`,
		}},
		{"the agent fails", []string{"COPILOT_DIRECT_CONNECT_URL", statusAt(t, 503) + "/agent"}, noFault, noFault, map[string]string{"agent": `upstream_error at stage upstream \(status 503\)`}},
		{"tokens for Redis do not come", []string{
			"REDIS_URL", "rediss://" + w.proxy.Addr(), "REDIS_ENTRA", "client-secret", "REDIS_ENTRA_CLIENT_ID", "id", "REDIS_ENTRA_TENANT_ID", "t", "REDIS_ENTRA_CLIENT_SECRET", mark, "REDIS_ENTRA_AUTHORITY", "https://127.0.0.1:1",
		}, noFault, noFault, map[string]string{
			"redis's token": `127\.0\.0\.1:1 .*store_credentials at stage begin \(the token source cannot be reached\)`,
			"redis":         `store_credentials at stage begin \(the token source cannot be reached\)`,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.fault()
			defer c.mend()
			lines, code := w.probed(t, c.settings...)
			if code != 1 {
				t.Errorf("exit code %d", code)
			}
			for part, line := range lines {
				want, fails := c.failed[part]
				if fails != strings.HasPrefix(line, "FAILED ") || !regexp.MustCompile(want).MatchString(strings.TrimSpace(line)) {
					t.Errorf("of %s is said %q, want %q", part, line, want)
				}
			}
		})
	}
}

// A probe by a managed identity shows Redis a token of the machine.
func TestProbeByManagedIdentity(t *testing.T) {
	server := redistest.Start(t)
	admin := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = admin.Close() })
	identity := &machine{t: t, redis: admin}
	identity.is(false, 1<<40)
	web := httptest.NewServer(identity)
	t.Cleanup(web.Close)
	t.Setenv("IDENTITY_ENDPOINT", web.URL)
	t.Setenv("IDENTITY_HEADER", "h")
	w := newWorld(t)
	certs := faultproxy.NewCertificates(t)
	p := faultproxy.Start(t, server.Addr(), faultproxy.WithTLS(certs.Good))
	lines, code := w.probed(t, "REDIS_URL", "rediss://"+p.Addr(), "REDIS_CA_FILE", certs.CAFile, "REDIS_ENTRA", "managed-identity")
	if code != 0 || !strings.HasPrefix(lines["redis"], "ok ") || !strings.Contains(lines["redis's token"], "there is a token for Redis, by managed-identity") {
		t.Errorf("%d: %v", code, lines)
	}
}

// A signal ends a probe at once, although what it waits for says nothing.
func TestProbeIsInterrupted(t *testing.T) {
	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	asked := make(chan struct{})
	go func() { // ends with the listener
		for {
			conn, err := silent.Accept()
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			if _, err := bufio.NewReader(conn).ReadByte(); err == nil {
				select {
				case asked <- struct{}{}:
				case <-t.Context().Done():
				}
			}
		}
	}()
	cmd := childCommand(t, "COPILOT_EMULATOR", "true", "REDIS_URL", "redis://"+silent.Addr().String(), "REDIS_TIMEOUT", "60000")
	cmd.Args = append(cmd.Args, "check-config", "--probe")
	var out, stderr sharedBuffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-asked
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(out.String(), "stopped   redis") || !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("exit code %d\n%s%s", code, out.String(), stderr.String())
	}
}

// The same of every part that is waited for.
func TestProbeEndsWithItsContext(t *testing.T) {
	silent := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	silent.StartTLS()
	t.Cleanup(silent.Close)
	w := newWorld(t)
	c, err := load(env(append(w.settings, "COPILOT_AUTHORITY", silent.URL, "AUTH_JWKS_URL", silent.URL+"/keys", "COPILOT_DIRECT_CONNECT_URL", silent.URL)...))
	if err != nil {
		t.Fatal(err)
	}
	w.proxy.Set(faultproxy.BlackHole(faultproxy.Replies, faultproxy.AllConns))
	ctx, cancel := context.WithCancel(t.Context())
	var out sharedBuffer
	waiting := make(chan struct{}, 8)
	with := seams{issuers: func(tr *http.Transport) {
		tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			waiting <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}
	}}
	done := make(chan error, 1)
	go func() { done <- probe(ctx, c, with, &out) }()
	<-waiting
	<-waiting
	cancel()
	if err := <-done; err == nil || strings.Count(out.String(), "stopped ") != 4 {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// A cluster, and a primary behind sentinels, answer as well; of a cluster, a part that is
// away is said.
func TestProbeOfManyNodes(t *testing.T) {
	slow(t)
	w := newWorld(t)
	plain := func(more ...string) []string { return append([]string{"REDIS_CA_FILE", ""}, more...) }
	s := redistest.StartSentinel(t)
	lines, code := w.probed(t, plain("REDIS_MODE", "sentinel", "REDIS_SENTINEL_MASTER", redistest.SentinelMaster, "REDIS_URL", "redis://"+s.Addrs()[0])...)
	if code != 0 || !strings.Contains(lines["redis"], "  sentinel, primary, version ") {
		t.Errorf("sentinels: %d, %s", code, lines["redis"])
	}
	lines, code = w.probed(t, plain("REDIS_MODE", "sentinel", "REDIS_SENTINEL_MASTER", "another", "REDIS_URL", "redis://"+s.Addrs()[0])...)
	if code != 1 || !strings.Contains(lines["redis"], "store_misconfigured at stage begin (the sentinels know no primary by that name)") {
		t.Errorf("another name: %d, %s", code, lines["redis"])
	}
	c := redistest.StartCluster(t, redistest.PartialCoverage())
	at := plain("REDIS_MODE", "cluster", "REDIS_URL", c.URL(), "REDIS_NODES", c.Nodes[1].Addr())
	lines, code = w.probed(t, at...)
	if code != 0 || !strings.Contains(lines["redis"], "  cluster, 3 primaries with 16384 of 16384 slots, version ") {
		t.Errorf("a cluster: %d, %s", code, lines["redis"])
	}
	c.Nodes[2].Proxy.Set(faultproxy.Refuse())
	lines, code = w.probed(t, at...)
	if code != 1 || !strings.Contains(lines["redis"], "FAILED ") || !strings.Contains(lines["redis"], "2 of 3 primaries") || !strings.Contains(lines["redis"], "store_unreachable") {
		t.Errorf("a part is away: %d, %s", code, lines["redis"])
	}
}
