package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"parley/contracttest/ports"
)

// lookup gives the status and the body of an answer, 0 when there is none.
func lookup(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		return 0, ""
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

// With ADMIN_PORT, what operators ask for is there and not on the public port, however
// its path is written; and it is answered when the public port takes nobody any more.
func TestAdminPort(t *testing.T) {
	const room = 5
	var logs sharedBuffer
	port := ports.Of(t)
	base := startService(t, &logs, "COPILOT_EMULATOR", "true", "METRICS_PROMETHEUS", "true", "ADMIN_PORT", port.Number, "MAX_CONNECTIONS", "5")
	admin := "http://" + port.Addr
	for path, want := range map[string]struct{ public, admin int }{
		"/livez": {200, 200}, "/readyz": {200, 200}, "/health": {200, 200}, "/%68ealth": {200, 200},
		"/metrics": {404, 200}, "/%6detrics": {404, 200}, "/debug/pprof/": {404, 200}, "/debug/pprof/heap": {404, 200}, "/debug/%70prof/": {404, 200},
		"/api/chat/conversations": {200, 404},
	} {
		if got, _ := lookup(t, base+path); got != want.public {
			t.Errorf("%s: %d, want %d", path, got, want.public)
		}
		if got, _ := lookup(t, admin+path); got != want.admin {
			t.Errorf("%s for operators: %d, want %d", path, got, want.admin)
		}
	}
	if _, body := lookup(t, base+"/health"); strings.TrimSpace(body) != `{"status":"ok","redis":"not_configured"}` {
		t.Errorf("in public: %s", body)
	}
	if _, body := lookup(t, admin+"/health"); !strings.Contains(body, `"uptimeSeconds"`) {
		t.Errorf("for operators: %s", body)
	}

	for range 4 * room {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
	}
	waitFor(t, func() bool { return strings.Contains(logs.String(), "MAX_CONNECTIONS") })
	if n := strings.Count(logs.String(), "MAX_CONNECTIONS"); n != 1 {
		t.Errorf("%d lines in a second", n)
	}
	if got, _ := lookup(t, base+"/livez"); got != 0 {
		t.Errorf("in public: %d", got)
	}
	for _, path := range []string{"/livez", "/readyz", "/health"} {
		if got, _ := lookup(t, admin+path); got != 200 {
			t.Errorf("%s while no connection is free: %d", path, got)
		}
	}
	_, body := lookup(t, admin+"/metrics")
	for _, name := range []string{"open", "refused_total"} {
		if !regexp.MustCompile(`(?m)^parley_connections_` + name + `(\{.*\})? [1-9]`).MatchString(body) {
			t.Errorf("the metrics say nothing of connections that are %s", name)
		}
	}
}

// Without ADMIN_PORT all is as it was, and every spelling of a path is one route.
func TestOnePort(t *testing.T) {
	base := startService(t, io.Discard, "COPILOT_EMULATOR", "true", "METRICS_PROMETHEUS", "true")
	for path, want := range map[string]int{"/metrics": 200, "/%6detrics": 200, "/debug/pprof/": 404, "/health": 200} {
		if got, _ := lookup(t, base+path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	if _, body := lookup(t, base+"/health"); !strings.Contains(body, `"uptimeSeconds"`) {
		t.Errorf("health: %s", body)
	}
}

// While it drains, a service wants no traffic and serves what comes, and has clients
// make their next connection elsewhere.
func TestDrain(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, nil, env(settingsOf([]string{"COPILOT_EMULATOR", "true", "DRAIN_DELAY", "2"})...), in, io.Discard)
	}()
	base := address(t, out)
	if a := call(t, base+"/readyz", nil); a.Status != 200 || a.Header.Get("Connection") != "" {
		t.Errorf("before: %d %v", a.Status, a.Header)
	}
	began := time.Now()
	stop()
	waitFor(t, func() bool { return call(t, base+"/readyz", nil).Status == 503 })
	for _, c := range []*http.Client{{Transport: &http.Transport{}}, overHTTP2(t, nil)} {
		got := post(t, c, base+"/api/chat/start", "{}")
		if got.err != nil || got.StatusCode != 200 || got.ProtoMajor == 1 && !got.Close {
			t.Errorf("%s: %d, %v", got.Proto, got.StatusCode, got.err)
		}
		c.CloseIdleConnections()
	}
	if err := <-ended; err != nil || time.Since(began) < 2*time.Second {
		t.Errorf("it ended after %v with %v", time.Since(began), err)
	}
}

// Where it is told to, an instance stays in the balancer while Redis is away, so that
// callers are told what is.
func TestReadyWithoutStore(t *testing.T) {
	for setting, want := range map[string]int{"false": 503, "true": 200} {
		base := startService(t, &bytes.Buffer{}, "COPILOT_EMULATOR", "true", "REDIS_URL", "redis://"+ports.Of(t).Addr, "READY_WITHOUT_STORE", setting)
		waitFor(t, func() bool {
			status, body := lookup(t, base+"/readyz")
			return status == want && strings.Contains(body, "disconnected")
		})
		if a := call(t, base+"/api/chat/start", m{}); a.Class != "store_unreachable" {
			t.Errorf("%+v", a)
		}
	}
}
