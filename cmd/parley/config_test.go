package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/server/copilot/entra"
)

// env makes an environment out of names and values.
func env(pairs ...string) environment {
	e := environment{}
	for i := 0; i < len(pairs); i += 2 {
		e[pairs[i]] = pairs[i+1]
	}
	return e
}

// enough is the least that has to be set.
func enough(more ...string) environment {
	return env(append([]string{"AUTH_REQUIRED", "false", "COPILOT_EMULATOR", "true"}, more...)...)
}

// STORE-06, STORE-07: the defaults are those that were asked for.
func TestDefaults(t *testing.T) {
	c, err := load(enough())
	if err != nil {
		t.Fatal(err)
	}
	if c.port != 3001 || c.ttl != 24*time.Hour || c.redisTimeout != 5*time.Second || c.copilotTimeout != time.Minute ||
		c.maxConversations != 10_000 || c.redisPrefix != "parley:" || c.shutdownTimeout != 25*time.Second {
		t.Errorf("defaults are %+v", c)
	}
}

// AUTH_REQUIRED fails closed: only exactly false turns sign-in off.
func TestAuthFailsClosed(t *testing.T) {
	for _, value := range []string{"", "true", "False", "FALSE", "0", "no", "off", "flase", " false", "false ", "\tfalse", "false\n", "\"false\"", "'false'", "\ufefffalse", " "} {
		if c, err := load(env("COPILOT_EMULATOR", "true", "AUTH_REQUIRED", value)); err == nil || !c.authRequired {
			t.Errorf("AUTH_REQUIRED=%q lets everybody in (%v)", value, err)
		}
	}
}

// What verifies tokens is complete, and says one thing, or the service does not
// start.
func TestAuthSettings(t *testing.T) {
	with := func(pairs ...string) environment {
		return env(append([]string{"COPILOT_EMULATOR", "true"}, pairs...)...)
	}
	for name, get := range map[string]environment{
		"customer tenant": with("AZURE_TENANT_NAME", "contoso", "AZURE_CLIENT_ID", "app"),
		"any issuer":      with("AUTH_ISSUER", "https://id.example/", "AUTH_AUDIENCE", "a, b"),
		"many tenants":    with("AUTH_ISSUER", "https://id.example/{tenantid}/v2.0", "AUTH_JWKS_URL", "https://id.example/keys", "AZURE_CLIENT_ID", "app"),
	} {
		if c, err := load(get); err != nil || !c.authRequired {
			t.Errorf("%s: %v", name, err)
		}
	}
	for want, get := range map[string]environment{
		"AZURE_TENANT_NAME: nobody":  with("AZURE_CLIENT_ID", "app"),
		"AZURE_TENANT_NAME: \"con":   with("AZURE_TENANT_NAME", "contoso.evil.example/", "AZURE_CLIENT_ID", "app"),
		"AUTH_ISSUER: is missing":    with("AUTH_JWKS_URL", "https://id.example/keys", "AZURE_TENANT_NAME", "contoso", "AZURE_CLIENT_ID", "app"),
		"AUTH_ISSUER: is set":        with("AUTH_ISSUER", "https://id.example", "AZURE_TENANT_NAME", "contoso", "AZURE_CLIENT_ID", "app"),
		"AUTH_ISSUER: leads":         with("AUTH_ISSUER", "http://id.example", "AZURE_CLIENT_ID", "app"),
		"AUTH_ISSUER: leads to no":   with("AUTH_ISSUER", "https://id.example/{tenantid}", "AZURE_CLIENT_ID", "app"),
		"AUTH_ISSUER: \"a b\"":       with("AUTH_ISSUER", "a b", "AZURE_TENANT_NAME", "contoso", "AZURE_CLIENT_ID", "app"),
		"AUTH_JWKS_URL: \"http://id": with("AUTH_ISSUER", "https://id.example", "AUTH_JWKS_URL", "http://id.example/keys", "AZURE_CLIENT_ID", "app"),
		"AZURE_CLIENT_ID: nothing":   with("AZURE_TENANT_NAME", "contoso"),
		"AUTH_AUDIENCE: \",\" names": with("AZURE_TENANT_NAME", "contoso", "AUTH_AUDIENCE", ","),
	} {
		if _, err := load(get); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("want a fault of %s, got %v", want, err)
		}
	}
}

// A way to a token for the agent is complete, or there is none.
func TestTokenSettings(t *testing.T) {
	with := func(pairs ...string) environment {
		return env(append([]string{
			"AUTH_REQUIRED", "false", "COPILOT_ENVIRONMENT_ID", "a47151cf-4f34-488f-b377-ebe84e17b478", "COPILOT_AGENT_SCHEMA_NAME", "a",
		}, pairs...)...)
	}
	whole := []string{"COPILOT_TENANT_ID", "t", "COPILOT_APP_ID", "a", "COPILOT_CLIENT_SECRET", "hunter2"}
	signedIn := append([]string{"AUTH_REQUIRED", "true", "AZURE_TENANT_NAME", "contoso", "AZURE_CLIENT_ID", "app"}, whole...)
	for name, c := range map[string]struct {
		get  environment
		flow entra.Flow
	}{
		"callers sign in":         {with(signedIn...), entra.OnBehalfOf},
		"as itself all the same":  {with(append(signedIn, "COPILOT_TOKEN_FLOW", "client-credentials")...), entra.ClientCredentials},
		"nobody signs in":         {with(whole...), entra.ClientCredentials},
		"an agent of no cloud":    {with(append(whole, "COPILOT_DIRECT_CONNECT_URL", "https://agent.example/conversations", "COPILOT_SCOPE", "s")...), entra.ClientCredentials},
		"a sovereign authority":   {with(append(whole, "COPILOT_AUTHORITY", "https://login.microsoftonline.us/")...), entra.ClientCredentials},
		"a token beside, no more": {with(append(whole, "COPILOT_STUB_TOKEN", "t", "COPILOT_AUTHORITY", "nowhere")...), entra.ClientCredentials},
	} {
		loaded, err := load(c.get)
		if err != nil || loaded.flow() != c.flow {
			t.Errorf("%s: flow %v, %v", name, loaded.flow(), err)
			continue
		}
		tel, _, err := openTelemetry(t.Context(), loaded, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		agent, err := openAgent(loaded, seams{}, tel, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		agent.close()
	}
	for want, get := range map[string]environment{
		"COPILOT_STUB_TOKEN: there":       with(),
		"COPILOT_CLIENT_SECRET: is":       with(whole[:4]...),
		"COPILOT_TENANT_ID: is":           with(whole[2:]...),
		"COPILOT_TENANT_ID: \"t/../x\"":   with(append(whole, "COPILOT_TENANT_ID", "t/../x")...),
		"COPILOT_TOKEN_FLOW: nobody":      with(append(whole, "COPILOT_TOKEN_FLOW", "on-behalf-of")...),
		"COPILOT_TOKEN_FLOW: \"obo\" is":  with(append(whole, "COPILOT_TOKEN_FLOW", "obo")...),
		"COPILOT_AUTHORITY: leads":        with(append(whole, "COPILOT_AUTHORITY", "http://login.example")...),
		"COPILOT_SCOPE: must be":          with(append(whole, "COPILOT_DIRECT_CONNECT_URL", "https://agent.example/conversations")...),
		"COPILOT_CLOUD: must be one of P": with(append(whole, "COPILOT_CLOUD", "Moon")...),
	} {
		_, err := load(get)
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Count(err.Error(), "\n") != 0 {
			t.Errorf("want a fault of %s, got %v", want, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("repeats the secret: %v", err)
		}
	}
}

// All faults come at once, each with its variable, and no secret with them.
func TestAllFaultsAtOnce(t *testing.T) {
	_, err := load(env(
		"PORT", "70000", "CORS_ORIGIN", "*", "STATIC_DIR", "/nowhere/at/all", "MAX_TURNS", "0", "SHUTDOWN_TIMEOUT", "-1",
		"REDIS_URL", "http://user:hunter2@host", "REDIS_TTL", "1e9", "REDIS_TIMEOUT", "5s", "REDIS_PREFIX", "a{b}", "REDIS_LEGACY", "yes", "REDIS_CA_FILE", "/nowhere.pem",
		"MEMORY_MAX_CONVERSATIONS", "99999999999999999999", "COPILOT_EMULATOR", "yes", "COPILOT_TIMEOUT", "1",
		"COPILOT_DIRECT_CONNECT_URL", "http://agent.example/conversations", "LOG_LEVEL", "loud",
	))
	if err == nil {
		t.Fatal("no fault was found")
	}
	for _, name := range []string{
		"PORT", "CORS_ORIGIN", "STATIC_DIR", "MAX_TURNS", "SHUTDOWN_TIMEOUT", "REDIS_URL", "REDIS_TTL", "REDIS_TIMEOUT", "REDIS_PREFIX", "REDIS_LEGACY", "REDIS_CA_FILE",
		"MEMORY_MAX_CONVERSATIONS", "AZURE_TENANT_NAME", "AZURE_CLIENT_ID", "COPILOT_EMULATOR", "COPILOT_TIMEOUT", "COPILOT_DIRECT_CONNECT_URL", "COPILOT_STUB_TOKEN", "LOG_LEVEL",
	} {
		if !strings.Contains("\n"+err.Error(), "\n"+name+": ") {
			t.Errorf("nothing is said of %s", name)
		}
	}
	for line := range strings.Lines(err.Error()) {
		if !strings.Contains(line, "expected") && !strings.Contains(line, "COPILOT_DIRECT_CONNECT_URL") {
			t.Errorf("does not say what is expected: %s", line)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("repeats the password: %v", err)
	}
}

func TestFaultsTogether(t *testing.T) {
	for want, get := range map[string]environment{
		"REDIS_TTL":                  enough("REDIS_TTL", "60", "COPILOT_TIMEOUT", "60000"),
		"REDIS_URL: skip_verify":     enough("REDIS_URL", "rediss://h:6380?skip_verify=true"),
		"REDIS_CERT_FILE: cannot":    enough("REDIS_URL", "rediss://h:6380", "REDIS_CERT_FILE", "/nowhere.pem", "REDIS_KEY_FILE", "/nowhere.pem"),
		"REDIS_CERT_FILE: ":          enough("REDIS_URL", "rediss://h:6380", "REDIS_KEY_FILE", "/nowhere.pem"),
		"CORS_ORIGIN: ":              enough("CORS_ORIGIN", "https://A.example"),
		"CORS_ORIGIN: \"https":       enough("CORS_ORIGIN", "https://a.example:99999"),
		"ALLOWED_DOMAINS: ":          enough("ALLOWED_DOMAINS", "microsoft.com,*.example.com"),
		"ALLOWED_DOMAINS: \"h":       enough("ALLOWED_DOMAINS", "https://microsoft.com/"),
		"COPILOT_STUB_TOKEN: has":    enough("COPILOT_STUB_TOKEN", "a b"),
		"REDIS_URL: is no such URL":  enough("REDIS_URL", "redis://h:6380/notanumber"),
		"COPILOT_DIRECT_CONNECT_URL": env("AUTH_REQUIRED", "false"),
		"COPILOT_AGENT_SCHEMA_NAME":  env("AUTH_REQUIRED", "false", "COPILOT_ENVIRONMENT_ID", "a47151cf-4f34-488f-b377-ebe84e17b478", "COPILOT_STUB_TOKEN", "t"),
		"COPILOT_STUB_TOKEN":         env("AUTH_REQUIRED", "false", "COPILOT_DIRECT_CONNECT_URL", "https://agent.example/conversations"),
		"COPILOT_CLOUD":              env("AUTH_REQUIRED", "false", "COPILOT_ENVIRONMENT_ID", "a47151cf-4f34-488f-b377-ebe84e17b478", "COPILOT_AGENT_SCHEMA_NAME", "a", "COPILOT_CLOUD", "Moon", "COPILOT_STUB_TOKEN", "t"),
	} {
		if _, err := load(get); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("want a fault of %s, got %v", want, err)
		}
	}
}

// What cannot work is a fault at start, not a riddle when it is used; and what
// was likely meant is said.
func TestValues(t *testing.T) {
	signIn := env("COPILOT_EMULATOR", "true", "AZURE_TENANT_NAME", "contoso", "AZURE_CLIENT_ID", "app")
	agent := env("AUTH_REQUIRED", "false", "COPILOT_ENVIRONMENT_ID", "a47151cf-4f34-488f-b377-ebe84e17b478", "COPILOT_AGENT_SCHEMA_NAME", "a",
		"COPILOT_TENANT_ID", "t", "COPILOT_APP_ID", "a", "COPILOT_CLIENT_SECRET", "s")
	for _, c := range []struct {
		name, value string
		with        environment
		want        string // part of the fault, "" for none
	}{
		{"ALLOWED_TENANT_IDS", "22222222-2222-2222-2222-222222222222, 33333333-3333-3333-3333-333333333333", signIn, ""},
		{"ALLOWED_TENANT_IDS", `"22222222-2222-2222-2222-222222222222"`, signIn, "quote"},
		{"ALLOWED_TENANT_IDS", "'a','b'", signIn, "quote"},
		{"ALLOWED_TENANT_IDS", "a;b", signIn, "semicolon"},
		{"ALLOWED_TENANT_IDS", "a b", signIn, "space"},
		{"ALLOWED_TENANT_IDS", "[a]", signIn, "brackets"},
		{"ALLOWED_TENANT_IDS", "{22222222-2222-2222-2222-222222222222}", signIn, "brackets"},
		{"ALLOWED_TENANT_IDS", ",", signIn, "names nothing"},
		{"AUTH_AUDIENCE", "api://app;app", signIn, "semicolon"},
		{"AUTH_SCOPES", "access_as_user, other", signIn, ""},
		{"AUTH_SCOPES", "access_as_user other", signIn, ""},
		{"AUTH_SCOPES", ",", signIn, "names nothing"},
		{"AUTH_SCOPES", `"access_as_user"`, signIn, "quote"},
		{"AUTH_SCOPES", "api://app/access_as_user", signIn, "in front of a scope"},
		{"AUTH_ROLES", "Chat.Call,Other", signIn, ""},
		{"AUTH_ROLES", ", ,", signIn, "names nothing"},
		{"AUTH_ROLES", "a;b", signIn, "semicolon"},
		{"AZURE_CLIENT_ID", "api://app", signIn, "bare"},
		{"AZURE_CLIENT_ID", "a,b", signIn, "bare"},
		{"CORS_ORIGIN", "https://xn--mller-kva.example", enough(), ""},
		{"CORS_ORIGIN", "http://localhost:5173", enough(), ""},
		{"CORS_ORIGIN", "http://[::1]:5173", enough(), ""},
		{"CORS_ORIGIN", "https://müller.example", enough(), "https://xn--mller-kva.example;"},
		{"CORS_ORIGIN", "https://MÜLLER.example:8443/", enough(), "https://xn--mller-kva.example:8443;"},
		{"CORS_ORIGIN", "https://Chat.Example", enough(), "https://chat.example;"},
		{"CORS_ORIGIN", "https://chat.example/", enough(), "https://chat.example;"},
		{"CORS_ORIGIN", "https://chat.example:443", enough(), "https://chat.example;"},
		{"CORS_ORIGIN", "http://chat.example:80", enough(), "http://chat.example;"},
		{"CORS_ORIGIN", "https://chat.example:08443", enough(), "not one origin"},
		{"CORS_ORIGIN", "https://chat.example/app", enough(), "not one origin"},
		{"CORS_ORIGIN", "https://a.example,https://b.example", enough(), "not one origin"},
		{"CORS_ORIGIN", "*", enough(), "not one origin"},
		{"CORS_ORIGIN", "null", enough(), "not one origin"},
		{"CORS_ORIGIN", "chat.example", enough(), "not one origin"},
		{"HOST", "[::1]", enough(), ""},
		{"HOST", "::1", enough(), ""},
		{"HOST", "fe80::1%eth0", enough(), ""},
		{"HOST", "127.0.0.1", enough(), ""},
		{"HOST", "parley.internal", enough(), ""},
		{"HOST", "[::1]:3001", enough(), "no such name"},
		{"HOST", "[127.0.0.1]", enough(), "no address"},
		{"HOST", "localhost:3001", enough(), "no such name"},
		{"HOST", "http://localhost", enough(), "no such name"},
		{"HOST", "127.0.0.1/8", enough(), "no such name"},
		{"HOST", "127.0.0.256", enough(), "no such name"},
		{"HOST", "*", enough(), "no such name"},
		{"HOST", " ", enough(), "white space"},
		{"PORT", "3001 ", enough(), "white space"},
		{"PORT", "3001.0", enough(), "whole number"},
		{"REDIS_PREFIX", " parley:", enough(), "white space"},
		{"REDIS_CA_FILE", "config_test.go", enough(), "PEM"},
		{"COPILOT_CLIENT_SECRET", "S3CR3T\n", agent, "white space"},
		{"COPILOT_AUTHORITY", "https://user:S3CR3T@login.example", agent, "without user"},
		{"COPILOT_AUTHORITY", "https://login.example/?sig=S3CR3T", agent, "without user"},
		{"AUTH_JWKS_URL", "https://user:S3CR3T@id.example/keys", environment{"AUTH_ISSUER": "x", "AZURE_TENANT_NAME": ""}.over(signIn), "no such URL"},
		{"TELEMETRY_OWNER_KEY", "密码密码密码", enough(), "too short"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317", enough(), "no scheme"},
		{"OTEL_TRACES_SAMPLER", "some", enough(), "none of"},
	} {
		_, err := load(c.with.set(c.name, c.value))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s=%q: %v", c.name, c.value, err)
		case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.name+": ") || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n")):
			t.Errorf("%s=%q: %v, want one fault that says %q", c.name, c.value, err, c.want)
		case err != nil && strings.Contains(err.Error(), "S3CR3T"):
			t.Errorf("%s=%q is repeated: %v", c.name, c.value, err)
		}
	}
	c, err := load(signIn.set("ALLOWED_TENANT_IDS", "ABCDEF00-2222-2222-2222-222222222222"))
	if err != nil || c.allowedTenants[0] != "abcdef00-2222-2222-2222-222222222222" {
		t.Errorf("%q, %v", c.allowedTenants, err)
	}
	if c, err := load(enough("HOST", "[::1]")); err != nil || c.host != "::1" {
		t.Errorf("%q, %v", c.host, err)
	}
}

// set is the environment with one variable set.
func (e environment) set(name, value string) environment {
	return environment{name: value}.over(e)
}

// The environment file of the legacy service works unchanged, as a file.
func TestLegacyEnvFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), ".env")
	static := t.TempDir()
	err := os.WriteFile(file, []byte(`# the service that was here before
NODE_ENV=production
PORT=3001
CORS_ORIGIN=http://localhost:5173
REDIS_URL="rediss://:p%40ss@cache.example:6380"
REDIS_TTL=3600
REDIS_TIMEOUT=2500
AUTH_REQUIRED=false
AZURE_TENANT_NAME=contoso
AZURE_CLIENT_ID=11111111-1111-1111-1111-111111111111
ALLOWED_TENANT_IDS=22222222-2222-2222-2222-222222222222, 33333333-3333-3333-3333-333333333333
COPILOT_ENVIRONMENT_ID=Default-db1a52f5-3267-4ea6-aaea-85cf6f15e6c7
COPILOT_AGENT_SCHEMA_NAME=cr1a2_myAgent
COPILOT_TENANT_ID=44444444-4444-4444-4444-444444444444
COPILOT_APP_ID=55555555-5555-5555-5555-555555555555
COPILOT_CLIENT_SECRET='hunter2 # not a comment'
COPILOT_STUB_TOKEN=hunter2
ALLOWED_ACTION_TYPES=Action.Submit
ALLOWED_DOMAINS=contoso.example
STATIC_DIR=`+static+`
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	var out, stderr bytes.Buffer
	if err := run(t.Context(), []string{"--env-file", file, "check-config"}, env("REDIS_TTL", "7200"), &out, &stderr); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"REDIS_TTL                  7200", "REDIS_TIMEOUT              2500", "CORS_ORIGIN                http://localhost:5173", "REDIS_URL                  (set, not shown)", "COPILOT_CLIENT_SECRET      (set, not shown)", "ALLOWED_DOMAINS            contoso.example"} {
		if !strings.Contains(out.String(), want+"\n") {
			t.Errorf("check-config does not say %q:\n%s", want, out.String())
		}
	}
	if all := out.String() + stderr.String(); strings.Contains(all, "hunter2") || strings.Contains(all, "p%40ss") {
		t.Errorf("check-config shows a secret:\n%s", all)
	}
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--help"}, 0, "MEMORY_MAX_CONVERSATIONS"},
		{[]string{"--version"}, 0, "parley "},
		{[]string{"--nonsense"}, 2, "usage:"},
		{[]string{"check-config", "extra"}, 2, "extra"},
		{[]string{"nonsense"}, 2, "there is no command"},
		{[]string{"check-config"}, 2, "AZURE_TENANT_NAME: "},
		{[]string{}, 2, "AZURE_TENANT_NAME: "},
		{[]string{"--env-file", "/nowhere/.env"}, 2, "--env-file"},
	} {
		var out bytes.Buffer
		code := exitCode(run(t.Context(), c.args, env(), &out, &out), &out)
		if code != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("%q: exit code %d, want %d; printed\n%s", c.args, code, c.code, out.String())
		}
	}
	if code := exitCode(errors.New("x"), &bytes.Buffer{}); code != 1 {
		t.Errorf("any other error ends with %d", code)
	}
}
