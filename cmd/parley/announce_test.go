package main

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"parley/contracttest/faultproxy"
)

// The first line of the log, and what is printed, say how Redis is reached, and show no
// credentials.
func TestStartSaysHowRedisIsReached(t *testing.T) {
	certs := faultproxy.NewCertificates(t)
	for name, c := range map[string]struct {
		settings []string
		mode     string
		tls      bool
	}{
		"single":             {[]string{"REDIS_URL", "redis://u:" + mark + "@127.0.0.1:1"}, "single", false},
		"single over TLS":    {[]string{"REDIS_URL", "rediss://u:" + mark + "@127.0.0.1:1", "REDIS_CA_FILE", certs.CAFile}, "single", true},
		"a cluster":          {[]string{"REDIS_URL", "redis://127.0.0.1:1", "REDIS_MODE", "cluster"}, "cluster", false},
		"sentinels over TLS": {[]string{"REDIS_URL", "rediss://127.0.0.1:1", "REDIS_MODE", "sentinel", "REDIS_SENTINEL_MASTER", "m"}, "sentinel", true},
	} {
		t.Run(name, func(t *testing.T) {
			var log, printed sharedBuffer
			_, settings := agent(t)
			settings = append(settings, c.settings...)
			started(t, func(ctx context.Context, stdout io.Writer) error {
				return run(ctx, nil, env(settingsOf(settings)...), io.MultiWriter(&printed, stdout), &log)
			})
			waitFor(t, func() bool { return strings.Contains(log.String(), "\n") })
			var first struct {
				Msg  string
				Mode string `json:"redis_mode"`
				TLS  *bool  `json:"redis_tls"`
			}
			line, _, _ := strings.Cut(log.String(), "\n")
			if err := json.Unmarshal([]byte(line), &first); err != nil || first.Msg != "listening" || first.Mode != c.mode || first.TLS == nil || *first.TLS != c.tls {
				t.Errorf("the log begins with %s", line)
			}
			if want := "redis (" + c.mode + ", " + tlsWords(c.tls) + ")"; !strings.Contains(printed.String(), want) {
				t.Errorf("printed without %q:\n%s", want, printed.String())
			}
			if strings.Contains(log.String()+printed.String(), mark) {
				t.Error("a password is shown")
			}
		})
	}
}
