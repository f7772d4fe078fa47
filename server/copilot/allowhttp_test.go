package copilot_test

import (
	"context"
	"errors"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"parley/server/copilot"
)

// Plain http is spoken to this machine and to hosts that were named whole, and to nothing
// that only resembles one.
func TestAllowHTTP(t *testing.T) {
	named := []string{"emulator", "agent.internal.example", "10.1.2.3", "fd00::7"}
	for _, c := range []struct {
		url   string
		allow []string
		plain string // the host to which http is spoken; "-" for a URL that is refused
	}{
		{"http://emulator/x", named, "emulator"},
		{"http://emulator:3979/x", named, "emulator"},
		{"HTTP://EMULATOR:3979/x", named, "EMULATOR"},
		{"http://emulator.:3979/x", named, "emulator."},
		{" http://agent.internal.example ", named, "agent.internal.example"},
		{"http://10.1.2.3:1/x", named, "10.1.2.3"},
		{"http://[::ffff:10.1.2.3]:1/x", named, "::ffff:10.1.2.3"},
		{"http://[fd00:0::7]/x", named, "fd00:0::7"},
		{"http://emulator/x", []string{"EMULATOR."}, "emulator"},
		{"http://localhost/x", nil, "localhost"},
		{"http://127.0.0.1/x", named, "127.0.0.1"},

		// https is not made less.
		{"https://emulator/x", named, ""},
		{"https://elsewhere.example/x", named, ""},

		{"http://emulator/x", nil, "-"},
		{"http://emulator/x", []string{}, "-"},
		{"http://emulator/x", []string{""}, "-"},
		{"http://emulator/x", []string{"*"}, "-"},
		{"http://emulator/x", []string{"."}, "-"},
		{"http://emulator:3979/x", []string{"emulator:3979"}, "-"},
		{"http://emulator/x", []string{"http://emulator"}, "-"},
		{"http://elsewhere.example/x", named, "-"},
		{"http://emulator.example/x", named, "-"},
		{"http://x.emulator/x", named, "-"},
		{"http://xemulator/x", named, "-"},
		{"http://emulatorx/x", named, "-"},
		{"http://emulator../x", named, "-"},
		{"http://internal.example/x", named, "-"},
		{"http://x.agent.internal.example/x", named, "-"},
		{"http://x.agent.internal.example/x", []string{"*.agent.internal.example"}, "-"},
		{"http://x.agent.internal.example/x", []string{".agent.internal.example"}, "-"},
		{"http://10.1.2.30/x", named, "-"},
		{"http://10.1.2.3.example/x", named, "-"},
		{"http://10.1.2.4/x", []string{"10.1.2.0/24"}, "-"},
		{"http://167838211/x", named, "-"}, // 10.1.2.3 to some resolvers
		{"http://emulator@elsewhere.example/x", named, "-"},
		{"http://elsewhere.example/emulator", named, "-"},
		{"http://elsewhere.example#emulator", named, "-"},
		{"http://elsewhere.example/?emulator", named, "-"},
		{"http://ｅmulator/x", named, "-"},               // a fullwidth e, which resolvers fold
		{"http://agent.internal。example/x", named, "-"}, // an ideographic full stop, likewise
		{"http:///x", []string{""}, "-"},
		{"ftp://emulator/x", named, "-"},
		{"ws://emulator/x", named, "-"},
		{"emulator", named, "-"},
		{"//emulator/x", named, "-"},
	} {
		e := copilot.Endpoint{DirectConnectURL: c.url, AllowHTTP: c.allow, Scope: "s"}
		_, err := e.URL("")
		_, notMade := copilot.NewClient(copilot.Options{Endpoint: e})
		if refused := c.plain == "-"; (err != nil) != refused || (notMade != nil) != refused {
			t.Errorf("%q with %q: %v, and the client %v", c.url, c.allow, err, notMade)
		}
		if got := e.PlainHost(); got != strings.Trim(c.plain, "-") {
			t.Errorf("%q with %q: http is spoken to %q, want %q", c.url, c.allow, got, c.plain)
		}
	}
	derived := copilot.Endpoint{Environment: "a47151cf-4f34-488f-b377-ebe84e17b478", Schema: "b", AllowHTTP: named}
	if got, err := derived.URL(""); err != nil || !strings.HasPrefix(got, "https://") || derived.PlainHost() != "" {
		t.Errorf("a derived address is %s (%v)", got, err)
	}
}

// An agent that may be spoken to over http leads nowhere else: neither to another host nor,
// with the token, to https.
func TestAllowHTTPFollowsNoRedirect(t *testing.T) {
	for _, location := range []string{"http://elsewhere.example/conversations", "http://emulator:1/conversations", "https://emulator/conversations", "/other"} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			a := &answer{status: status, header: map[string]string{
				"Location": location, "X-Ms-D2e-Experimental": location,
			}}
			srv := httptest.NewServer(a)
			var mu sync.Mutex
			var dialed []string
			transport := copilot.NewTransport()
			transport.Proxy = nil
			transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				mu.Lock()
				defer mu.Unlock()
				dialed = append(dialed, address)
				return (&net.Dialer{}).DialContext(ctx, network, srv.Listener.Addr().String())
			}
			agent := client(t, "http://emulator:3979", func(o *copilot.Options) {
				o.Transport, o.Endpoint.AllowHTTP = transport, []string{"emulator"}
			})
			for range 2 { // the second is not sent to where the first was led
				o := collect(t, agent.Turn(t.Context(), turn("c", "x")))
				if o.err == nil || !errors.Is(o.err, copilot.ErrProtocol) || o.err.Status != status {
					t.Errorf("%d to %s: %v", status, location, o.err)
				}
			}
			transport.CloseIdleConnections()
			srv.Close()
			if dialed = slices.Compact(dialed); a.calls != 2 || !slices.Equal(dialed, []string{"emulator:3979"}) {
				t.Errorf("%d to %s: %d requests, connected to %v", status, location, a.calls, dialed)
			}
			if a.last.Header.Get("Authorization") == "" {
				t.Error("the request had no token")
			}
		}
	}
}
