package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"parley/server"
	"parley/store"
	"parley/store/memory"
)

// settingsAt is what the page at /try is told, with the status of that and of a switch
// of the store.
func settingsAt(t *testing.T, base string) (page, breaking int, text string) {
	t.Helper()
	get := func(method, path, body string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		text, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(text)
	}
	page, _ = get("GET", "/try", "")
	_, text = get("GET", "/try/api/settings", "")
	breaking, _ = get("POST", "/try/api/store", `{"class":"store_full"}`)
	return page, breaking, text
}

// The page is there with the emulator, or when it is asked for. Only a store in memory
// can be broken at it: never a Redis, also not one that is away.
func TestTryPageIsOn(t *testing.T) {
	agent := []string{"COPILOT_DIRECT_CONNECT_URL", "http://127.0.0.1:1/agent", "COPILOT_STUB_TOKEN", "stub"}
	for name, c := range map[string]struct {
		settings       []string
		page, breaking int
		says           string
	}{
		"emulator":                   {[]string{"COPILOT_EMULATOR", "true"}, 200, 200, `"emulator":true`},
		"emulator, told not to":      {[]string{"COPILOT_EMULATOR", "true", "TRY_PAGE", "false"}, 404, 404, "not_found"},
		"a real agent":               {agent, 404, 404, "not_found"},
		"a real agent, asked for":    {slices.Concat(agent, []string{"TRY_PAGE", "true"}), 200, 200, `"emulator":false`},
		"emulator and Redis":         {[]string{"COPILOT_EMULATOR", "true", "REDIS_URL", "redis://127.0.0.1:1"}, 200, 404, `"storeClasses":[]`},
		"Redis, asked for":           {slices.Concat(agent, []string{"TRY_PAGE", "true", "REDIS_URL", "redis://127.0.0.1:1"}), 200, 404, `"backend":"redis"`},
		"with a place to see traces": {[]string{"COPILOT_EMULATOR", "true", "TRACE_URL_TEMPLATE", "https://jaeger.example/trace/{traceId}"}, 200, 200, `"traceUrl":"https://jaeger.example/trace/{traceId}"`},
	} {
		t.Run(name, func(t *testing.T) {
			page, breaking, text := settingsAt(t, startService(t, io.Discard, c.settings...))
			if page != c.page || breaking != c.breaking || !strings.Contains(text, c.says) {
				t.Errorf("page %d, store %d, settings %s; want %+v", page, breaking, text, c)
			}
		})
	}
}

func TestTrySettingsAreChecked(t *testing.T) {
	for _, c := range [][2]string{
		{"TRY_PAGE", "yes"},
		{"TRACE_URL_TEMPLATE", "https://jaeger.example/trace/"},
		{"TRACE_URL_TEMPLATE", "javascript:alert({traceId})"},
		{"TRACE_URL_TEMPLATE", "https://user:secret@jaeger.example/{traceId}"},
		{"TRACE_URL_TEMPLATE", "/trace/{traceId}"},
	} {
		_, err := load(env("COPILOT_EMULATOR", "true", "AUTH_REQUIRED", "false", c[0], c[1]))
		if err == nil || !strings.HasPrefix(err.Error(), c[0]+": ") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s=%s: %v", c[0], c[1], err)
		}
	}
}

// Whoever may not call the API may not break the store, nor may pages of other sites.
func TestWhoMayBreakTheStore(t *testing.T) {
	key, issuer, settings := newSignIn(t)
	base, _ := child(t, append(settings, "COPILOT_EMULATOR", "true")...)
	if page, breaking, _ := settingsAt(t, base); page != 200 || breaking != 401 {
		t.Errorf("without a token: page %d, store %d", page, breaking)
	}
	if a := callAs(t, key.Token(issuer.Claims()), base+"/try/api/store", m{"class": "store_unreachable"}); a.Status != 200 {
		t.Errorf("with a token: %d", a.Status)
	}
	if a := callAs(t, key.Token(issuer.Claims()), base+"/try/api/store", m{"class": "upstream_error"}); a.Status != 400 {
		t.Errorf("with a class of the agent: %d", a.Status)
	}
	if h := call(t, base+"/health", nil); !strings.Contains(strings.Join(h.Warnings, " "), "on purpose") {
		t.Errorf("health warns of %q", h.Warnings)
	}
}

// A store that fails on purpose does so in every method, in the class that was asked for,
// and works again as if nothing had been.
func TestBreakableStore(t *testing.T) {
	b := &breakableStore{next: memory.New(memory.Options{}), log: slog.New(slog.DiscardHandler)}
	owner, id := store.Owner{Tenant: "t", User: "u"}, "0197f3a0-0000-7000-8000-000000000001"
	turn := store.Turn{Owner: owner, Conversation: id}
	type method struct {
		writes bool
		call   func(context.Context) error
	}
	methods := map[string]method{
		"BeginTurn": {true, func(ctx context.Context) error {
			_, err := b.BeginTurn(ctx, store.Begin{Owner: owner, Conversation: id, Fingerprint: "f"})
			return err
		}},
		"CompleteTurn": {true, func(ctx context.Context) error { return b.CompleteTurn(ctx, turn, store.Completion{}) }},
		"FailTurn":     {true, func(ctx context.Context) error { return b.FailTurn(ctx, turn, "x") }},
		"RenewLease":   {true, func(ctx context.Context) error { _, err := b.RenewLease(ctx, turn); return err }},
		"Publish":      {true, func(ctx context.Context) error { _, _, err := b.Publish(ctx, turn, store.Entry{}); return err }},
		"Follow": {false, func(ctx context.Context) error {
			_, err := b.Follow(ctx, store.Follow{Owner: owner, Conversation: id})
			return err
		}},
		"Stop":         {true, func(ctx context.Context) error { _, _, err := b.Stop(ctx, owner, id); return err }},
		"Conversation": {false, func(ctx context.Context) error { _, err := b.Conversation(ctx, owner, id, store.Range{}); return err }},
		"List":         {false, func(ctx context.Context) error { _, err := b.List(ctx, owner, store.Page{Limit: 1}); return err }},
		"SetStatus": {true, func(ctx context.Context) error {
			_, err := b.SetStatus(ctx, owner, id, store.StatusCompleted)
			return err
		}},
		"Delete": {false, func(ctx context.Context) error { return b.Delete(ctx, owner, id) }},
		"Ping":   {false, b.Ping},
	}
	ctx, left := context.WithCancel(t.Context())
	left() // the failure that takes time is not waited for
	for _, class := range append(b.Classes(), "") {
		b.Break(class)
		for name, m := range methods {
			use, want := t.Context(), class
			if class == "store_timeout" {
				use, want = ctx, "client_canceled"
			}
			if class == "store_full" && !m.writes {
				want = ""
			}
			err := m.call(use)
			if got := server.Class(err); want != "" && got != want || want == "" && strings.HasPrefix(got, "store_") {
				t.Errorf("%s, told to fail with %q: %v", name, class, err)
			}
		}
	}
	b.Break("store_timeout")
	if err := b.Ping(t.Context()); !errors.Is(err, store.ErrTimeout) {
		t.Errorf("told not to answer in time: %v", err)
	}
}
