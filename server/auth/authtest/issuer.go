package authtest

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// The tenant, the user and the audience of the tokens that Claims describes.
const (
	Tenant   = "11111111-2222-3333-4444-555555555555"
	User     = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
	ClientID = "99999999-8888-7777-6666-555555555555"
)

// Scope is in the claim scp of those tokens, Client is the application that they
// were issued to, and Role what lets an application in that is allowed to.
const (
	Scope  = "access_as_user"
	Client = "77777777-8888-9999-aaaa-bbbbbbbbbbbb"
	Role   = "Chat.Call"
)

// Issuer serves a discovery document and a key set over TLS.
type Issuer struct {
	web *httptest.Server

	mu       sync.Mutex
	keys     []*Key
	faulty   http.HandlerFunc // answers in place of the issuer; nil for none
	requests int
}

// NewIssuer starts an issuer with the given keys; it ends with the test.
func NewIssuer(t testing.TB, keys ...*Key) *Issuer {
	t.Helper()
	i := &Issuer{keys: keys}
	i.web = httptest.NewTLSServer(i)
	t.Cleanup(i.web.Close)
	return i
}

// URL is what tokens have as iss; the discovery document is below it.
func (i *Issuer) URL() string { return i.web.URL }

// KeysURL is where the key set is.
func (i *Issuer) KeysURL() string { return i.web.URL + "/keys" }

// Transport trusts the issuer's certificate.
func (i *Issuer) Transport() http.RoundTripper { return i.web.Client().Transport }

// CAFile is a file with the issuer's certificate, for a process to trust by
// SSL_CERT_FILE.
func (i *Issuer) CAFile(t testing.TB) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "issuer.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.web.Certificate().Raw})
	if err := os.WriteFile(name, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Claims are those of a user's valid access token.
func (i *Issuer) Claims() Object {
	now := time.Now()
	return Object{
		"iss": i.URL(), "aud": "api://" + ClientID, "tid": Tenant, "oid": User, "scp": "openid " + Scope, "azp": Client,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
}

// AppClaims are those of an application's token without a user.
func (i *Issuer) AppClaims(roles ...string) Object {
	return i.Claims().With("scp", nil).With("idtyp", "app").With("roles", roles)
}

// IDClaims are those of an ID token of the user, for an application that has the
// service's own id.
func (i *Issuer) IDClaims() Object {
	return i.Claims().With("scp", nil).With("azp", nil).With("aud", ClientID).
		With("nonce", "n-0S6").With("name", "A User").With("sub", "pairwise")
}

// Rotate replaces the keys.
func (i *Issuer) Rotate(keys ...*Key) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = keys
}

// Add puts more keys beside those it has.
func (i *Issuer) Add(keys ...*Key) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, keys...)
}

// Break has f answer every request from now on; nil mends it.
func (i *Issuer) Break(f http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.faulty = f
}

// Requests is how many requests have come so far.
func (i *Issuer) Requests() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.requests
}

// ServeHTTP implements http.Handler.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.requests++
	faulty, set := i.faulty, []map[string]any{}
	for _, k := range i.keys {
		set = append(set, k.JWK())
	}
	i.mu.Unlock()
	switch {
	case faulty != nil:
		faulty(w, r)
	case r.URL.Path == "/.well-known/openid-configuration":
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": i.URL(), "jwks_uri": i.KeysURL()})
	case r.URL.Path == "/keys":
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": set})
	default:
		http.NotFound(w, r)
	}
}

// Down cuts the connection, as a host that crashed does.
func Down(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// Slow answers nothing as long as somebody waits.
func Slow(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// Says answers 200 with a body.
func Says(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
}
