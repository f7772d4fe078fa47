package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"parley/server/copilot/emulator"
)

// plainAgent is an agent over http at some host.
func plainAgent(url string, more ...string) environment {
	return env(append([]string{"AUTH_REQUIRED", "false", "COPILOT_DIRECT_CONNECT_URL", url, "COPILOT_STUB_TOKEN", "hunter2"}, more...)...)
}

// COPILOT_ALLOW_HTTP says whole hosts, or the service does not start.
func TestAllowHTTPSetting(t *testing.T) {
	for _, c := range []struct{ url, allow, warns string }{
		{"http://emulator:3979/conversations", "emulator", "go to emulator over http"},
		{"http://emulator:3979/conversations", "other, EMULATOR.", "go to emulator over http"},
		{"http://10.1.2.3/", "10.1.2.3", "go to 10.1.2.3 over http"},
		{"http://[fd00::7]:3979/", "[fd00::7]", "go to fd00::7 over http"},
		{"http://[fd00::7]:3979/", "fd00:0::7", "go to fd00::7 over http"},
		{"https://agent.example/", "emulator", "no effect"},
		{"https://emulator/", "emulator", "no effect"},
		{"http://127.0.0.1:3979/", "emulator", "no effect"},
		{"http://localhost:3979/", "localhost", "no effect"},
		{"http://localhost:3979/", "", ""},
	} {
		got, err := load(plainAgent(c.url, "COPILOT_ALLOW_HTTP", c.allow))
		if err != nil {
			t.Errorf("%s with %q: %v", c.url, c.allow, err)
		}
		if warned := strings.Join(got.warnings, "\n"); strings.Contains(warned, "COPILOT_ALLOW_HTTP") != (c.warns != "") || !strings.Contains(warned, c.warns) {
			t.Errorf("%s with %q: warns %q", c.url, c.allow, warned)
		}
	}
	if got, err := load(enough("COPILOT_ALLOW_HTTP", "emulator")); err != nil || !strings.Contains(strings.Join(got.warnings, "\n"), "COPILOT_ALLOW_HTTP has no effect") {
		t.Errorf("beside the agent in this process: %v, warns %q", err, got.warnings)
	}

	for _, allow := range []string{
		"*", "*.example", ".example", "emulator:3979", "http://emulator", "emulator/", "u@emulator", "emulator other", "emulator;other", "10.0.0.0/8", "10.1", "1",
		"[emulator]", "[fd00::7]:80", ",", "true", "false", "emulator,*", "émulateur", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q",
	} {
		_, err := load(plainAgent("https://agent.example/", "COPILOT_ALLOW_HTTP", allow))
		if err == nil || !strings.HasPrefix(err.Error(), "COPILOT_ALLOW_HTTP: ") || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "; expected ") {
			t.Errorf("%q: %v, want one fault of it", allow, err)
		}
	}
	for _, allow := range []string{"", "other", "emulator.example", "x.emulator"} {
		_, err := load(plainAgent("http://emulator:3979/conversations", "COPILOT_ALLOW_HTTP", allow))
		if err == nil || !strings.HasPrefix(err.Error(), "COPILOT_DIRECT_CONNECT_URL: must begin with https://") || strings.Contains(err.Error(), "\n") {
			t.Errorf("http with %q allowed: %v", allow, err)
		}
	}
	// Who hands out tokens is no agent.
	_, err := load(env("AUTH_REQUIRED", "false", "COPILOT_DIRECT_CONNECT_URL", "http://emulator", "COPILOT_ALLOW_HTTP", "emulator", "COPILOT_TENANT_ID", "t",
		"COPILOT_APP_ID", "a", "COPILOT_CLIENT_SECRET", "hunter2", "COPILOT_SCOPE", "s", "COPILOT_AUTHORITY", "http://emulator"))
	if err == nil || !strings.HasPrefix(err.Error(), "COPILOT_AUTHORITY: ") {
		t.Errorf("tokens over http: %v", err)
	}
}

// ownAddress is an address of this machine that is none of loopback.
func ownAddress(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && n.IP.To4() != nil {
			return n.IP.String()
		}
	}
	t.Skip("this machine has no address but loopback")
	return ""
}

// An emulated agent on another machine is spoken to, the log says at what price, and the
// page offers its commands.
func TestAllowHTTPReachesTheEmulator(t *testing.T) {
	host := ownAddress(t)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewUnstartedServer(emulator.New(emulator.Options{Token: "stub"}))
	_ = web.Listener.Close()
	web.Listener = l
	web.Start()
	t.Cleanup(web.Close)

	logs := &sharedBuffer{}
	base := startService(t, logs, "COPILOT_DIRECT_CONNECT_URL", web.URL, "COPILOT_ALLOW_HTTP", host, "COPILOT_STUB_TOKEN", "stub", "TRY_PAGE", "true")
	if got := call(t, base+"/api/chat/start", struct{}{}); got.Status != 200 || got.said() == "" {
		t.Errorf("start: %+v", got)
	}
	logged := func() bool {
		return strings.Contains(logs.String(), "WARN") && strings.Contains(logs.String(), "go to "+host+" over http") && strings.Contains(logs.String(), "agent at "+host)
	}
	eventually(t, "the log warns", logged)
	if strings.Contains(logs.String(), "stub") {
		t.Error("the log has the token")
	}
	if got := fetch(t, http.MethodGet, base+"/try/api/settings"); !strings.Contains(got, `"emulator":true`) {
		t.Errorf("the page is told %s", got)
	}
}
