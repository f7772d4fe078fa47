package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"parley/server/auth/authtest"
)

// signIn gives the settings for an issuer, which the program trusts by its
// certificate.
func signIn(t *testing.T, issuer *authtest.Issuer, more ...string) []string {
	t.Helper()
	return append([]string{
		"AUTH_REQUIRED", "true", "AUTH_ISSUER", issuer.URL(), "AZURE_CLIENT_ID", authtest.ClientID,
		"ALLOWED_TENANT_IDS", authtest.Tenant, "SSL_CERT_FILE", issuer.CAFile(t),
	}, more...)
}

// With sign-in on, the whole program lets in whom the issuer names, and nobody
// else; and the issuer may then go away.
func TestSignIn(t *testing.T) {
	key := authtest.NewRSA(t, "key")
	issuer := authtest.NewIssuer(t, key)
	_, settings := agent(t)
	base, _ := child(t, signIn(t, issuer, settings...)...)
	mine, theirs := key.Token(issuer.Claims()), key.Token(issuer.Claims().With("oid", "another"))

	if a := call(t, base+"/api/chat/start", m{}); a.Status != 401 || a.Header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("without a token: %+v", a)
	}
	if a := callAs(t, key.Token(issuer.Claims().With("tid", "elsewhere")), base+"/api/chat/start", m{}); a.Status != 403 || a.Class != "forbidden" {
		t.Errorf("from elsewhere: %+v", a)
	}
	id := callAs(t, mine, base+"/api/chat/start", m{}).ConversationID
	issuer.Break(authtest.Down)
	if a := callAs(t, mine, base+"/api/chat/send", m{"conversationId": id, "text": "hello"}); a.Status != 200 {
		t.Errorf("mine: %+v", a)
	}
	if a := callAs(t, theirs, base+"/api/chat/send", m{"conversationId": id, "text": "hello"}); a.Status != 404 {
		t.Errorf("another's: %+v", a)
	}
	if h := call(t, base+"/health", nil); h.Status != 200 || !h.AuthRequired || len(h.Warnings) != 0 {
		t.Errorf("health: %+v", h)
	}
}

// An issuer that is away at start-up keeps nobody from starting, and nobody out
// once it is back.
func TestIssuerAwayAtStart(t *testing.T) {
	key := authtest.NewEC(t, "key")
	issuer := authtest.NewIssuer(t, key)
	issuer.Break(authtest.Down)
	base, _ := child(t, signIn(t, issuer, "COPILOT_EMULATOR", "true", "ALLOWED_TENANT_IDS", "")...)
	token := key.Token(issuer.Claims())
	if a := callAs(t, token, base+"/api/chat/start", m{}); a.Status != 503 || a.Class != "auth_unavailable" || a.Header.Get("Retry-After") == "" {
		t.Errorf("while it is away: %+v", a)
	}
	issuer.Break(nil)
	// Known, and still not let in: the list of tenants is empty.
	waitFor(t, func() bool { return callAs(t, token, base+"/api/chat/start", m{}).Status == 403 })
	if h := call(t, base+"/health", nil); len(h.Warnings) != 1 {
		t.Errorf("health says nothing of the empty list: %+v", h)
	}
}

// The agent is asked with a token that was fetched for the user; and what goes
// wrong there is never the caller's fault.
func TestOnBehalfOfTheUser(t *testing.T) {
	key := authtest.NewEC(t, "key")
	issuer := authtest.NewIssuer(t, key)
	mine := key.Token(issuer.Claims())
	refuses, exchanges := atomic.Bool{}, atomic.Int32{}
	var tokens *httptest.Server
	tokens = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/openid-configuration"):
			_ = json.NewEncoder(w).Encode(m{"issuer": tokens.URL + "/tenant/v2.0", "token_endpoint": tokens.URL + "/token", "authorization_endpoint": tokens.URL + "/authorize"})
		case refuses.Load() || r.FormValue("assertion") == "" || r.FormValue("client_secret") != "hunter2":
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(m{"error": "invalid_grant", "error_codes": []int{65001}})
		default:
			exchanges.Add(1)
			// The emulated agent of the test takes no other.
			_ = json.NewEncoder(w).Encode(m{"token_type": "Bearer", "access_token": "stub", "expires_in": 3600})
		}
	}))
	t.Cleanup(tokens.Close)
	e, settings := agent(t)
	settings = append(settings, "COPILOT_STUB_TOKEN", "", "COPILOT_AUTHORITY", tokens.URL, "COPILOT_TENANT_ID", "tenant",
		"COPILOT_APP_ID", "app", "COPILOT_CLIENT_SECRET", "hunter2", "COPILOT_SCOPE", "scope")
	// Both servers have the certificate that httptest gives to all.
	base, _ := child(t, signIn(t, issuer, settings...)...)

	// Of a user of its own: after a refusal, the same sign-in is not exchanged again
	// for a while.
	refused := key.Token(issuer.Claims().With("oid", "refused"))
	refuses.Store(true)
	if a := callAs(t, refused, base+"/api/chat/start", m{}); a.Status != 502 || a.Class != "token_unavailable" || a.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("refused: %+v", a)
	}
	if n := len(e.Requests()); n != 0 {
		t.Errorf("the agent was asked %d times", n)
	}
	refuses.Store(false)
	started := callAs(t, mine, base+"/api/chat/start", m{})
	sent := callAs(t, mine, base+"/api/chat/send", m{"conversationId": started.ConversationID, "text": "hello"})
	if started.Status != 200 || sent.Status != 200 || exchanges.Load() != 1 {
		t.Errorf("%d exchanges; start: %+v; send: %+v", exchanges.Load(), started, sent)
	}
	tokens.CloseClientConnections()
	tokens.Close()
	another := key.Token(issuer.Claims().With("oid", "another"))
	if a := callAs(t, another, base+"/api/chat/start", m{}); a.Status != 502 || a.Class != "token_unavailable" {
		t.Errorf("with nobody there: %+v", a)
	}
	if a := callAs(t, mine, base+"/api/chat/send", m{"conversationId": started.ConversationID, "text": "hello"}); a.Status != 200 {
		t.Errorf("with a token that still serves: %+v", a)
	}
}

// newSignIn is an issuer with a key, and the settings that trust it.
func newSignIn(t *testing.T) (*authtest.Key, *authtest.Issuer, []string) {
	t.Helper()
	key := authtest.NewRSA(t, "key")
	issuer := authtest.NewIssuer(t, key)
	return key, issuer, signIn(t, issuer)
}
