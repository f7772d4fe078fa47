package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
)

// setUp is a store that is set up wrong: the class that it has, and the settings that
// lead to it. Nothing of it is simulated.
type setUp struct {
	class    string
	settings func(t *testing.T, plain string) []string // plain is the address of a Redis that wants nothing
}

// setUps are wrong set-ups by the words of the guide.
func setUps() map[string]setUp {
	redis := func(class, url string, more ...string) setUp {
		return setUp{class, func(_ *testing.T, plain string) []string {
			return append([]string{"REDIS_URL", strings.Replace(url, "PLAIN", plain, 1)}, more...)
		}}
	}
	at := func(class, scheme string, addr func(t *testing.T, plain string) string) setUp {
		return setUp{class, func(t *testing.T, plain string) []string { return []string{"REDIS_URL", scheme + addr(t, plain)} }}
	}
	const unreachable, timeout, protocol, misconfigured = "store_unreachable", "store_timeout", "store_protocol", "store_misconfigured"
	return map[string]setUp{
		"nothing listens": at(unreachable, "redis://", func(t *testing.T, plain string) string { return behind(t, plain, faultproxy.Refuse()) }),
		// A label of more than 63 octets: no name server has to be asked.
		"the name does not exist": redis(unreachable, "redis://"+strings.Repeat("n", 64)+".invalid:6379"),
		"what listens closes the connection": at(unreachable, "redis://", func(t *testing.T, plain string) string {
			return behind(t, plain, faultproxy.CloseOnAccept(faultproxy.FIN))
		}),
		"`redis://` at a port with TLS":                   at(unreachable, "redis://", withTLS),
		"`rediss://` at a web or mail server":             at(unreachable, "rediss://", webServer),
		"the certificate is not one that we trust":        at(unreachable, "rediss://", withTLS),
		"`rediss://` at a port without TLS":               redis(timeout, "rediss://PLAIN"),
		"what listens says nothing":                       at(timeout, "redis://", func(t *testing.T, _ string) string { return greeting(t, "") }),
		"`redis://` at a web server":                      at(protocol, "redis://", webServer),
		"`redis://` at an SSH or mail server":             at(protocol, "redis://", func(t *testing.T, _ string) string { return greeting(t, "220 mail.example ESMTP\r\n") }),
		"`REDIS_MODE=cluster`, and Redis is none":         redis(misconfigured, "redis://PLAIN", "REDIS_MODE", "cluster"),
		"`REDIS_MODE=sentinel`, and what answers is none": redis(misconfigured, "redis://PLAIN", "REDIS_MODE", "sentinel", "REDIS_SENTINEL_MASTER", "main"),
		"we have no password, and Redis wants one":        at("store_auth", "redis://", func(t *testing.T, _ string) string { return redistest.Start(t, "--requirepass", "secret").Addr() }),
		"the password is wrong":                           at("store_auth", "redis://:wrong@", func(t *testing.T, _ string) string { return redistest.Start(t, "--requirepass", "secret").Addr() }),
		"a database that there is not":                    redis("store_rejected", "redis://PLAIN/99"),
		"the address is that of a replica": at("store_readonly", "redis://", func(t *testing.T, _ string) string {
			return redistest.Start(t, "--replicaof", "192.0.2.1", "6379").Addr()
		}),
	}
}

// behind is the address of a Redis behind a fault.
func behind(t *testing.T, plain string, f faultproxy.Fault) string {
	t.Helper()
	p := faultproxy.Start(t, plain)
	p.Set(f)
	return p.Addr()
}

// withTLS is the address of a Redis behind TLS, with a certificate of an authority that
// the service does not know.
func withTLS(t *testing.T, plain string) string {
	t.Helper()
	return faultproxy.Start(t, plain, faultproxy.WithTLS(faultproxy.NewCertificates(t).Good)).Addr()
}

// webServer is the address of one.
func webServer(t *testing.T, _ string) string {
	t.Helper()
	s := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// greeting is the address of a service that says this first, and then nothing.
func greeting(t *testing.T, words string) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	var open []net.Conn
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open = append(open, c)
			_, _ = io.WriteString(c, words)
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
		for _, c := range open {
			_ = c.Close()
		}
	})
	return l.Addr().String()
}

// A service that is set up wrong answers with the class that the guide has for it, again
// when the circuit breaker may be open, and /health has it too.
func TestSetUps(t *testing.T) {
	plain := redistest.Start(t).Addr()
	_, settings := agent(t)
	for name, s := range setUps() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := startService(t, io.Discard, slices.Concat(settings, []string{"REDIS_TIMEOUT", "700"}, s.settings(t, plain))...)
			for range 2 {
				if a := call(t, base+"/api/chat/start", m{}); a.Class != s.class {
					t.Errorf("%d %s, want %s", a.Status, a.Class, s.class)
				}
			}
			waitFor(t, func() bool {
				return call(t, base+"/health", nil).Store.LastError == s.class || s.class == "store_readonly"
			})
		})
	}
}
