package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestMisnamed(t *testing.T) {
	for name, meant := range map[string]string{
		"REDIS_TIMOUT": "REDIS_TIMEOUT", "REDIS_TIMEUOT": "REDIS_TIMEOUT", "REDISURL": "REDIS_URL", "REDIS_URI": "REDIS_URL", "redis_url": "REDIS_URL",
		"AUTH_REQUIRE": "AUTH_REQUIRED", "ALLOWED_TENANT_ID": "ALLOWED_TENANT_IDS", "ALLOWED_TENANTS_IDS": "ALLOWED_TENANT_IDS",
		"CORS_ORIGINS": "CORS_ORIGIN", "LOGLEVEL": "LOG_LEVEL", "port": "PORT", "Host": "HOST", "COPILOT_STUB_TOKN": "COPILOT_STUB_TOKEN",
		"AUTH_SCOPE": "AUTH_SCOPES", "AUTH_ROLE": "AUTH_ROLES", "OTEL_EXPORTER_OTLP_ENDPONT": "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICENAME": "OTEL_SERVICE_NAME",
		"MEMORY_MAX_CONVERSATION": "MEMORY_MAX_CONVERSATIONS", "OPENAI_API_KEY": "Copilot Studio only",
	} {
		warnings := misnamed(environment{name: "x"})
		if len(warnings) != 1 || !strings.HasPrefix(warnings[0], name+" is set and not used") || !strings.Contains(warnings[0], meant) {
			t.Errorf("%s: %q, want %s", name, warnings, meant)
		}
	}
	for _, name := range []string{
		"REDIS_URL", "PATH", "HOME", "HOSTNAME", "POST", "SORT", "COST", "PORTS", "NODE_ENV", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET", "AZURE_SUBSCRIPTION_ID",
		"REDIS_PORT", "REDIS_HOST", "REDIS_SERVICE_HOST", "REDIS_PORT_6379_TCP", "PARLEY_PORT", "KUBERNETES_SERVICE_HOST", "LOGNAME", "OTEL_GO_X_RESOURCE", "OTEL_SERVICE_NAME", "",
	} {
		if warnings := misnamed(environment{name: "x"}); len(warnings) != 0 {
			t.Errorf("%s: %q", name, warnings)
		}
	}
}

func TestDistance(t *testing.T) {
	for pair, want := range map[[2]string]int{
		{"", ""}: 0, {"", "abc"}: 3, {"abc", ""}: 3, {"abc", "abc"}: 0, {"abc", "acb"}: 1, {"abc", "abd"}: 1, {"abc", "ab"}: 1, {"ab", "abc"}: 1, {"abcd", "badc"}: 2, {"kitten", "sitting"}: 3,
	} {
		if got := distance(pair[0], pair[1]); got != want || distance(pair[1], pair[0]) != want {
			t.Errorf("%q: %d, want %d", pair, got, want)
		}
	}
}

// What the legacy service could do and Parley cannot is not ignored.
func TestAnotherProvider(t *testing.T) {
	for _, value := range []string{"", "copilot"} {
		if _, err := load(enough("LLM_PROVIDER", value)); err != nil {
			t.Errorf("LLM_PROVIDER=%q: %v", value, err)
		}
	}
	for _, value := range []string{"openai", "OpenAI", "azure"} {
		if _, err := load(enough("LLM_PROVIDER", value)); err == nil || !strings.HasPrefix(err.Error(), "LLM_PROVIDER: ") {
			t.Errorf("LLM_PROVIDER=%q: %v", value, err)
		}
	}
}

// What is likely wrong and no fault is said by check-config, and in the log.
func TestWarnings(t *testing.T) {
	var out, stderr bytes.Buffer
	if err := run(t.Context(), []string{"check-config"}, enough("REDIS_TIMOUT", "1"), &out, &stderr); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(stderr.String(), "REDIS_TIMOUT is set and not used; is REDIS_TIMEOUT meant?") {
		t.Errorf("check-config says\n%s", stderr.String())
	}
	open := env("COPILOT_EMULATOR", "true", "AZURE_TENANT_NAME", "contoso", "AZURE_CLIENT_ID", "app")
	for _, c := range []struct {
		env   environment
		warns string // "" for nothing
	}{
		{open, "AUTH_SCOPES and AUTH_ROLES are empty"},
		{open.over(environment{"AUTH_SCOPES": "access_as_user"}), ""},
		{open.over(environment{"AUTH_ROLES": "Chat.Call"}), ""},
		{enough(), ""},
		{open.over(environment{"AUTH_REQUIRED": "False", "AUTH_ROLES": "Chat.Call"}), `AUTH_REQUIRED is neither`},
	} {
		loaded, err := load(c.env)
		if err != nil || len(loaded.warnings) > 1 || (len(loaded.warnings) == 1) != (c.warns != "") || !strings.HasPrefix(strings.Join(loaded.warnings, ""), c.warns) {
			t.Errorf("%v: %q, %v", c.env, loaded.warnings, err)
		}
	}
}
