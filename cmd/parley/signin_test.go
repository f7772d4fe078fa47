package main

import (
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
