package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"parley/telemetry/provider"
)

// mark is what is secret in the tests of this file.
const mark = "S3CR3T"

// printed is everything that was written, by whichever goroutine.
type printed struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.String()
}

// Whatever a variable holds, ours or OpenTelemetry's, what may be secret in it is in
// no error, no warning and no line of check-config.
func TestNoSecretIsRepeated(t *testing.T) {
	inURLs := []string{
		"https://user:" + mark + "@host.example/a", "https://" + mark + "@host.example", "https://host.example/a?sig=" + mark, "https://host.example/#" + mark,
		"http://user:" + mark + "@host.example", "redis://:" + mark + "@host:99999", "user:" + mark + "@host", "host?sig=" + mark, "https://ho st/?" + mark,
	}
	whole := append([]string{mark, "Bearer " + mark, "api-key: " + mark, "a=" + mark + ",b", " " + mark, mark + "\n", mark + "#" + mark}, inURLs...)
	values := map[string][]string{}
	for _, s := range settings() {
		if values[s.name] = inURLs; s.secret {
			values[s.name] = whole
		}
	}
	for _, name := range append(provider.Variables(), "OPENAI_API_KEY", "REDIS_PASWORD", "COPILOT_CLIENT_SECRT") {
		values[name] = whole
	}
	for name, all := range values {
		for _, value := range all {
			for _, base := range []environment{enough(), env("AZURE_TENANT_NAME", "contoso", "AZURE_CLIENT_ID", "app"), {}} {
				var out bytes.Buffer
				exitCode(run(t.Context(), []string{"check-config"}, base.set(name, value), &out, &out), &out)
				if out.Len() == 0 || strings.Contains(out.String(), mark) {
					t.Errorf("%s=%q: printed\n%s", name, value, out.String())
					break
				}
			}
		}
	}
}

// The same while it runs and everything it talks to is away.
func TestNoSecretIsLogged(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key="+mark)
	for name, pairs := range map[string][]string{
		"the agent": {
			"AUTH_REQUIRED", "false", "COPILOT_DIRECT_CONNECT_URL", "http://127.0.0.1:1/conversations?sig=" + mark, "COPILOT_STUB_TOKEN", mark,
			"TELEMETRY_OWNER_KEY", mark + mark + mark,
		},
		"Redis": {"AUTH_REQUIRED", "false", "COPILOT_EMULATOR", "true", "REDIS_URL", "redis://" + mark + ":" + mark + "@127.0.0.1:1", "REDIS_TIMEOUT", "200"},
		"a cluster": {
			"AUTH_REQUIRED", "false", "COPILOT_EMULATOR", "true", "REDIS_URL", "redis://" + mark + "@127.0.0.1:1", "REDIS_TIMEOUT", "200", "REDIS_MODE", "cluster",
			"REDIS_NODES", "127.0.0.1:2", "REDIS_PASSWORD_FILE", file(t, mark),
		},
		"sentinels": {
			"AUTH_REQUIRED", "false", "COPILOT_EMULATOR", "true", "REDIS_URL", "redis://:" + mark + "@127.0.0.1:1", "REDIS_TIMEOUT", "200", "REDIS_MODE", "sentinel",
			"REDIS_SENTINEL_MASTER", "m", "REDIS_SENTINEL_USER", mark, "REDIS_SENTINEL_PASSWORD", mark,
		},
		"the issuer of Redis's tokens": {
			"AUTH_REQUIRED", "false", "COPILOT_EMULATOR", "true", "REDIS_URL", "rediss://127.0.0.1:1", "REDIS_TIMEOUT", "200", "REDIS_ENTRA", "client-secret",
			"REDIS_ENTRA_CLIENT_ID", "id", "REDIS_ENTRA_TENANT_ID", "t", "REDIS_ENTRA_CLIENT_SECRET", mark, "REDIS_ENTRA_AUTHORITY", "https://127.0.0.1:1",
		},
		"the issuer": {
			"AUTH_ISSUER", "https://id.example", "AUTH_JWKS_URL", "https://127.0.0.1:1/keys?sig=" + mark, "AZURE_CLIENT_ID", "app", "AUTH_SCOPES", "s", "ALLOWED_TENANT_IDS", "t",
			"COPILOT_ENVIRONMENT_ID", "a47151cf-4f34-488f-b377-ebe84e17b478", "COPILOT_AGENT_SCHEMA_NAME", "a",
			"COPILOT_TENANT_ID", "t", "COPILOT_APP_ID", "a", "COPILOT_CLIENT_SECRET", mark, "COPILOT_AUTHORITY", "https://127.0.0.1:1",
		},
	} {
		var all printed
		ctx, stop := context.WithCancel(t.Context())
		out, in := io.Pipe()
		ended := make(chan error, 1)
		go func() {
			err := run(ctx, nil, env(append(pairs, "HOST", "127.0.0.1", "PORT", "0", "LOG_LEVEL", "debug", "SHUTDOWN_TIMEOUT", "1")...), in, &all)
			_ = in.CloseWithError(errors.Join(err, io.EOF))
			ended <- err
		}()
		base := address(t, io.TeeReader(out, &all))
		// The body and the headers are no secret's place either.
		if a := callAs(t, "a.b."+mark, base+"/api/chat/start", m{}); a.Status < 500 && a.Status != 401 {
			t.Errorf("%s: %+v", name, a)
		}
		stop()
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if text := all.String(); !strings.Contains(text, `"request"`) || strings.Contains(text, mark) {
			t.Errorf("%s: printed\n%s", name, text)
		}
	}
}
