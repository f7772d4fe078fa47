package main

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// A health check says that the service lives, that it does not, or why nobody can tell.
func TestHealthcheck(t *testing.T) {
	status := http.StatusOK
	path := ""
	live := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path = r.URL.Path
		w.WriteHeader(status)
	}))
	defer live.Close()
	port := portOf(t, live.URL)
	gone := httptest.NewServer(nil)
	closed := portOf(t, gone.URL)
	gone.Close()
	for _, row := range []struct {
		name     string
		settings []string
		status   int
		exit     int
	}{
		{"lives", []string{"PORT", port}, 200, 0},
		{"all addresses", []string{"PORT", port, "HOST", "0.0.0.0"}, 200, 0},
		{"named address", []string{"PORT", port, "HOST", "127.0.0.1"}, 200, 0},
		{"port for administration", []string{"PORT", closed, "ADMIN_PORT", port}, 200, 0},
		{"that one alone is asked", []string{"PORT", port, "ADMIN_PORT", closed}, 200, 1},
		{"fails", []string{"PORT", port}, 500, 1},
		{"is not there", []string{"PORT", closed}, 200, 1},
		{"any port", []string{"PORT", "0"}, 200, 2},
		{"settings that cannot be", []string{"PORT", "x"}, 200, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			status = row.status
			var out, stderr bytes.Buffer
			err := run(t.Context(), []string{"healthcheck"}, enough(row.settings...), &out, &stderr)
			if got := exitCode(err, &stderr); got != row.exit {
				t.Errorf("exit %d, want %d: %s", got, row.exit, stderr.String())
			}
			if row.exit == 0 && path != "/livez" {
				t.Errorf("asked for %s", path)
			}
			if (row.exit == 0) != (stderr.Len() == 0) {
				t.Errorf("said %q", stderr.String())
			}
		})
	}
}

func portOf(t *testing.T, base string) string {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	return u.Port()
}

// Every .env to begin with names settings that there are, and is complete once its empty
// lines are filled in. The local one is so as it stands.
func TestInit(t *testing.T) {
	filled := environment{
		"REDIS_URL": "rediss://redis.example:10000", "REDIS_NODES": "other.example:6379",
		"AZURE_TENANT_NAME": "contoso", "AZURE_CLIENT_ID": uuid.NewString(), "ALLOWED_TENANT_IDS": uuid.NewString(),
		"COPILOT_DIRECT_CONNECT_URL": "https://a.78.environment.api.powerplatform.com/copilotstudio/x?api-version=1",
		"COPILOT_TENANT_ID":          uuid.NewString(), "COPILOT_APP_ID": uuid.NewString(), "COPILOT_CLIENT_SECRET": "secret",
	}
	elsewhere := map[string]bool{"REDIS_CA_FILE": true, "REDIS_PASSWORD_FILE": true} // files that this machine does not have
	known := map[string]bool{}
	for _, s := range settings() {
		known[s.name] = true
	}
	for _, c := range initCases() {
		t.Run(c.name, func(t *testing.T) {
			var out, stderr bytes.Buffer
			if err := run(t.Context(), []string{"init", c.name}, environment{}, &out, &stderr); err != nil {
				t.Fatal(err, stderr.String())
			}
			env, err := parseEnv(out.String())
			if err != nil {
				t.Fatal(err)
			}
			missing := false
			for name, value := range env {
				switch {
				case !known[name]:
					t.Errorf("%s is no setting", name)
				case elsewhere[name]:
					delete(env, name)
				case value == "":
					missing = true
					env[name] = filled[name]
				}
			}
			if c.name == "local" && missing {
				t.Error("something is missing")
			}
			if _, err := load(env); err != nil {
				t.Errorf("filled in: %v", err)
			}
		})
	}
	var out, stderr bytes.Buffer
	if err := run(t.Context(), []string{"init", "mars"}, environment{}, &out, &stderr); !errors.Is(err, errUsage) || !strings.Contains(stderr.String(), "local, azure, cluster") {
		t.Errorf("an unknown case: %v, %q", err, stderr.String())
	}
}
