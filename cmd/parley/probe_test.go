package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
	"parley/server/auth/authtest"
	"parley/server/copilot/emulator"
)

// world is everything that the service needs, and what leads to it.
type world struct {
	redis    *redistest.Server
	proxy    *faultproxy.Proxy // before Redis, with TLS
	certs    *faultproxy.Certificates
	issuer   *authtest.Issuer
	tokens   *tokenEndpoint
	agent    *httptest.Server
	emulated *emulator.Emulator
	settings []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{redis: redistest.Start(t, "--requirepass", mark), certs: faultproxy.NewCertificates(t)}
	w.proxy = faultproxy.Start(t, w.redis.Addr(), faultproxy.WithTLS(w.certs.Good))
	w.issuer, w.tokens = authtest.NewIssuer(t, authtest.NewRSA(t, "key")), newTokenEndpoint(t)
	w.emulated = emulator.New(emulator.Options{Token: "stub"})
	w.agent = httptest.NewServer(w.emulated)
	t.Cleanup(w.agent.Close)
	w.settings = []string{
		"AUTH_ISSUER", w.issuer.URL(), "AZURE_CLIENT_ID", authtest.ClientID, "ALLOWED_TENANT_IDS", authtest.Tenant, "AUTH_SCOPES", authtest.Scope,
		"REDIS_URL", "rediss://:" + mark + "@" + w.proxy.Addr(), "REDIS_CA_FILE", w.certs.CAFile, "REDIS_TIMEOUT", "1500",
		"COPILOT_DIRECT_CONNECT_URL", w.agent.URL + "/agent?sig=" + mark, "COPILOT_SCOPE", "scope", "COPILOT_TOKEN_FLOW", "client-credentials",
		"COPILOT_AUTHORITY", w.tokens.URL, "COPILOT_TENANT_ID", "tenant", "COPILOT_APP_ID", "app", "COPILOT_CLIENT_SECRET", mark,
	}
	return w
}

// probed probes with some settings changed. The lines are by the name of their part.
func (w *world) probed(t *testing.T, more ...string) (lines map[string]string, code int) {
	t.Helper()
	c, err := load(env(append(w.settings, more...)...))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(w.tokens.Certificate())
	if pem, err := os.ReadFile(w.issuer.CAFile(t)); err != nil || !roots.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate of the issuer", err)
	}
	with := seams{issuers: func(tr *http.Transport) {
		tr.TLSClientConfig, tr.DisableKeepAlives = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, true
	}}
	var out, stderr bytes.Buffer
	code = exitCode(probe(t.Context(), c, with, &out), &stderr)
	if all := out.String() + stderr.String(); strings.Contains(all, mark) {
		t.Errorf("a secret is printed:\n%s", all)
	}
	if (code == 0) != (stderr.Len() == 0) {
		t.Errorf("exit code %d, and said %q", code, stderr.String())
	}
	lines = map[string]string{}
	for line := range strings.Lines(out.String()) {
		lines[strings.TrimSpace(line[len("not tried "):][:15])] = line
	}
	return lines, code
}

// A part that answers is said to, with what that proves; what there is no need to try is
// said to be so.
func TestProbeOfWhatAnswers(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		settings []string
		want     map[string]string // pattern of each line
	}{
		"all": {nil, map[string]string{
			"signing keys":  `^ok .*127\.0\.0\.1:\d+  \d+ ms  the issuer gave keys`,
			"redis":         `^ok .*127\.0\.0\.1:\d+  \d+ ms  single, primary, version \d+\.\d+\.\d+, over TLS, a conversation was written, read and deleted.*, eviction policy noeviction$`,
			"agent's token": `^ok .*127\.0\.0\.1:\d+  \d+ ms  the issuer gave a token for the application$`,
			"agent":         `^ok .*127\.0\.0\.1:\d+  \d+ ms  the address answers a GET with status 405 and does not refuse the application's token; not proven: `,
		}},
		"on behalf of users": {[]string{"COPILOT_TOKEN_FLOW", "on-behalf-of"}, map[string]string{
			"agent's token": `^ok .*gave the application itself a token; not proven: that it exchanges a user's token`,
			"agent":         `^ok .*status 405, asked without a token, because the agent is asked on behalf of a user; not proven: `,
		}},
		"nothing to try": {[]string{
			"AUTH_REQUIRED", "false", "REDIS_URL", "", "REDIS_CA_FILE", "", "COPILOT_EMULATOR", "true", "COPILOT_DIRECT_CONNECT_URL", "",
		}, map[string]string{
			"signing keys": "^not tried .*AUTH_REQUIRED", "redis": "^not tried .*REDIS_URL", "agent's token": "^not tried .*COPILOT_EMULATOR", "agent": "^not tried .*COPILOT_EMULATOR",
		}},
		"without TLS": {[]string{"REDIS_URL", "redis://:" + mark + "@" + w.redis.Addr(), "REDIS_CA_FILE", "", "COPILOT_STUB_TOKEN", "stub"}, map[string]string{
			"redis": ", without TLS, ", "agent's token": "^not tried .*COPILOT_STUB_TOKEN", "agent": "does not refuse COPILOT_STUB_TOKEN",
		}},
		"nobody may come in": {[]string{"ALLOWED_TENANT_IDS", ""}, map[string]string{"signing keys": "^ok .*; warning: ALLOWED_TENANT_IDS"}},
	} {
		t.Run(name, func(t *testing.T) {
			lines, code := w.probed(t, c.settings...)
			if code != 0 {
				t.Errorf("exit code %d", code)
			}
			for part, want := range c.want {
				if !regexp.MustCompile(want).MatchString(strings.TrimSpace(lines[part])) {
					t.Errorf("of %s is said %q, want %s", part, lines[part], want)
				}
			}
		})
	}
	for _, r := range w.emulated.Requests() {
		if r.Kind != emulator.KindInvalid {
			t.Errorf("the agent was asked for %+v", r)
		}
	}
	admin := w.admin(t)
	if keys := admin.Keys(t.Context(), "*").Val(); len(keys) != 0 {
		t.Errorf("left in Redis: %v", keys)
	}
	if err := admin.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err(); err != nil {
		t.Fatal(err)
	}
	if lines, code := w.probed(t); code != 0 || !strings.Contains(lines["redis"], "; warning: Redis has the eviction policy allkeys-lru") {
		t.Errorf("a Redis that evicts: %d, %s", code, lines["redis"])
	}
}

// With --probe, the command has the exit codes that --help says.
func TestProbeExitCodes(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		env  environment
		want int
		said string
	}{
		"nothing to try":       {[]string{"check-config", "--probe"}, enough(), 0, "not tried"},
		"nobody answers":       {[]string{"check-config", "--probe"}, enough("REDIS_URL", "redis://127.0.0.1:1"), 1, "1 of the 1 that were tried"},
		"wrong settings":       {[]string{"check-config", "--probe"}, env(), 2, "AZURE_TENANT_NAME"},
		"another word":         {[]string{"check-config", "probe"}, enough(), 2, `takes no "probe"`},
		"one word too many":    {[]string{"check-config", "--probe", "now"}, enough(), 2, `takes no "now"`},
		"a command without it": {[]string{"healthcheck", "--probe"}, enough(), 2, `takes no "--probe"`},
	} {
		var out bytes.Buffer
		code := exitCode(run(t.Context(), c.args, c.env, &out, &out), &out)
		if code != c.want || !strings.Contains(out.String(), c.said) {
			t.Errorf("%s: exit code %d, want %d; printed\n%s", name, code, c.want, out.String())
		}
	}
	var out bytes.Buffer
	_ = run(context.Background(), []string{"--help"}, environment{}, &out, &out)
	if !strings.Contains(out.String(), "check-config [--probe]") || !strings.Contains(out.String(), "exit codes:") {
		t.Errorf("--help says\n%s", out.String())
	}
}
