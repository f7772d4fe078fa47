package main

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"parley/contracttest/faultproxy"
)

// The log at the start, and what is printed, say how Redis is reached, and show no
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
			line := ""
			waitFor(t, func() bool {
				for l := range strings.Lines(log.String()) {
					if strings.Contains(l, `"msg":"listening"`) && strings.HasSuffix(l, "\n") {
						line = l
					}
				}
				return line != ""
			})
			var first struct {
				Mode string `json:"redis_mode"`
				TLS  *bool  `json:"redis_tls"`
			}
			if err := json.Unmarshal([]byte(line), &first); err != nil || first.Mode != c.mode || first.TLS == nil || *first.TLS != c.tls {
				t.Errorf("the log says %s", line)
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
