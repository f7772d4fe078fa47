package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"parley/store"
)

const legacyOwner = "local-dev-tenant/local-dev-oid"

// Whose conversations there are when nobody signs in can be set, so that those of the
// legacy service are found.
func TestDevOwner(t *testing.T) {
	for value, want := range map[string]store.Owner{
		"":                {Tenant: "dev", User: "anonymous"},
		legacyOwner:       {Tenant: "local-dev-tenant", User: "local-dev-oid"},
		"t/u@example.com": {Tenant: "t", User: "u@example.com"},
	} {
		if c, err := load(enough("DEV_OWNER", value)); err != nil || c.devOwner != want {
			t.Errorf("DEV_OWNER=%q: %+v, %v", value, c.devOwner, err)
		}
	}
	for _, value := range []string{"user", "/", "t/", "/u", "t/u/v", "t u/v", "té/u", strings.Repeat("t", 129) + "/u", "t/" + strings.Repeat("u", 129)} {
		if _, err := load(enough("DEV_OWNER", value)); err == nil || !strings.HasPrefix(err.Error(), "DEV_OWNER: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("DEV_OWNER=%q: %v", value, err)
		}
	}
	signed := env("COPILOT_EMULATOR", "true", "AZURE_TENANT_NAME", "contoso", "AZURE_CLIENT_ID", "app", "AUTH_SCOPES", "s", "DEV_OWNER", legacyOwner)
	if c, err := load(signed); err != nil || len(c.warnings) != 1 || !strings.HasPrefix(c.warnings[0], "DEV_OWNER has no effect") {
		t.Errorf("where callers sign in: %q, %v", c.warnings, err)
	}
}

// Where nobody signs in, pages of the front end's development server may call unless
// CORS_ORIGIN says who may, and the start says so.
func TestDevOrigin(t *testing.T) {
	signed := env("COPILOT_EMULATOR", "true", "AZURE_TENANT_NAME", "contoso", "AZURE_CLIENT_ID", "app", "AUTH_SCOPES", "s")
	for _, c := range []struct {
		env   environment
		want  string
		notes int
	}{
		{enough(), devOrigin, 1},
		{enough("CORS_ORIGIN", ""), devOrigin, 1},
		{enough("CORS_ORIGIN", devOrigin), devOrigin, 0},
		{enough("CORS_ORIGIN", "https://chat.example"), "https://chat.example", 0},
		{signed, "", 0},
		{signed.set("CORS_ORIGIN", "https://chat.example"), "https://chat.example", 0},
	} {
		loaded, err := load(c.env)
		if err != nil || loaded.corsOrigin != c.want || len(loaded.notes) != c.notes {
			t.Errorf("%v: %q %q, %v", c.env, loaded.corsOrigin, loaded.notes, err)
		}
	}
	var out, stderr bytes.Buffer
	if err := run(t.Context(), []string{"check-config"}, enough(), &out, &stderr); err != nil || !strings.Contains(stderr.String(), "note: CORS_ORIGIN is not set") {
		t.Errorf("check-config says %q, %v", stderr.String(), err)
	}
}

// After the cut-over, with the legacy service's settings, its front end is let in, and
// its user finds the conversations.
func TestCutOverWithoutSignIn(t *testing.T) {
	const id = "11111111-2222-4333-8444-555555555555"
	seed := func(s store.Store) store.Store {
		held, err := s.BeginTurn(t.Context(), store.Begin{Owner: store.Owner{Tenant: "local-dev-tenant", User: "local-dev-oid"}, Conversation: id, New: true, Fingerprint: "f"})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.CompleteTurn(t.Context(), held, store.Completion{UpstreamID: "u"}); err != nil {
			t.Fatal(err)
		}
		return s
	}
	log := &sharedBuffer{}
	c, err := load(env(settingsOf([]string{"COPILOT_EMULATOR", "true", "DEV_OWNER", legacyOwner})...))
	if err != nil {
		t.Fatal(err)
	}
	base := started(t, func(ctx context.Context, stdout io.Writer) error {
		return serve(ctx, c, seams{store: seed}, stdout, log)
	})
	ask := func(method, path string, headers ...string) reply {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, base+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return reply{res.StatusCode, res.Header, body}
	}
	page := []string{"Origin", devOrigin, "Sec-Fetch-Site", "cross-site"}
	res := ask("GET", "/api/chat/conversations", page...)
	var list struct {
		Conversations []struct{ ConversationID string }
	}
	if err := json.Unmarshal(res.body, &list); err != nil || len(list.Conversations) != 1 || list.Conversations[0].ConversationID != id {
		t.Errorf("listed: %+v, %v", list, err)
	}
	if got := res.header.Get("Access-Control-Allow-Origin"); got != devOrigin {
		t.Errorf("the page may not read it: %q", got)
	}
	preflight := ask("OPTIONS", "/api/chat/start", append(page, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type,traceparent")...)
	if preflight.header.Get("Access-Control-Allow-Origin") != devOrigin || preflight.header.Get("Access-Control-Allow-Headers") == "" {
		t.Errorf("the preflight is refused: %v", preflight.header)
	}
	if res := ask("POST", "/api/chat/start", page...); res.status != http.StatusOK {
		t.Errorf("the page may not ask: %d", res.status)
	}
	for _, other := range []string{"http://localhost:5174", "https://localhost:5173", "http://evil.example"} {
		if res := ask("POST", "/api/chat/start", "Origin", other, "Sec-Fetch-Site", "cross-site"); res.status != http.StatusForbidden {
			t.Errorf("a page of %s: %d", other, res.status)
		}
	}
	if !strings.Contains(log.String(), "CORS_ORIGIN is not set and nobody signs in: pages of "+devOrigin) {
		t.Errorf("the log does not say so:\n%s", log)
	}
}

// reply is an answer that was read to its end.
type reply struct {
	status int
	header http.Header
	body   []byte
}
