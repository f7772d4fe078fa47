package entra

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	app      = "55555555-5555-5555-5555-555555555555"
	identity = "66666666-6666-6666-6666-666666666666" // the object id
	secret   = "s3cr3t-of-the-application"
	proof    = "s3cr3t-of-kubernetes"
)

// issuer is the token endpoint of a tenant, and the identity service of a machine.
type issuer struct {
	tenant  *httptest.Server // speaks TLS
	machine *httptest.Server // does not
	key     *ecdsa.PrivateKey

	mu     sync.Mutex
	asked  []url.Values
	life   time.Duration
	faulty http.HandlerFunc // answers requests for tokens; nil for none
	issued func(token string, expires time.Time)
	n      int
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{key: key, life: time.Hour, issued: func(string, time.Time) {}}
	i.tenant, i.machine = httptest.NewTLSServer(i), httptest.NewServer(i)
	t.Cleanup(i.tenant.Close)
	t.Cleanup(i.machine.Close)
	return i
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/tenant/v2.0/.well-known/openid-configuration" {
		_ = json.NewEncoder(w).Encode(map[string]string{
			"issuer": i.tenant.URL + "/tenant/v2.0", "token_endpoint": i.tenant.URL + "/tenant/oauth2/v2.0/token",
			"authorization_endpoint": i.tenant.URL + "/tenant/oauth2/v2.0/authorize",
		})
		return
	}
	if err := r.ParseForm(); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	form := r.Form
	if h := r.Header.Get("X-Identity-Header"); h != "" {
		form.Set("header", h)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked = append(i.asked, form)
	if i.faulty != nil {
		i.faulty(w, r)
		return
	}
	token, expires := i.sign(jwt.MapClaims{"oid": identity})
	i.issued(token, expires)
	answer := map[string]any{"token_type": "Bearer", "access_token": token, "expires_in": int(i.life.Seconds())}
	if r.TLS == nil { // a machine says when, a tenant how long
		answer = map[string]any{"token_type": "Bearer", "access_token": token, "expires_on": strconv.FormatInt(expires.Unix(), 10), "resource": "https://redis.azure.com"}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// sign makes the next token. The lock is held.
func (i *issuer) sign(claims jwt.MapClaims) (token string, expires time.Time) {
	i.n++
	expires = time.Now().Add(i.life)
	claims["exp"], claims["jti"] = expires.Unix(), i.n
	token, err := jwt.NewWithClaims(jwt.SigningMethodES256, claims).SignedString(i.key)
	if err != nil {
		panic(err) // a map of numbers and strings is signed
	}
	return token, expires
}

func (i *issuer) forms() []url.Values {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]url.Values{}, i.asked...)
}

// breaks has the issuer answer so; nil mends it.
func (i *issuer) breaks(f http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.faulty = f
}

func says(status int, header, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if name, value, ok := strings.Cut(header, ": "); ok {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// hangUp closes the connection without an answer.
func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// options are good ones for a method.
func (i *issuer) options(t *testing.T, m Method) Options {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(i.tenant.Certificate())
	o := Options{Method: m, RootCAs: roots}
	switch m {
	case ManagedIdentity:
		t.Setenv("IDENTITY_ENDPOINT", i.machine.URL+"/msi/token")
		t.Setenv("IDENTITY_HEADER", "header-of-the-machine")
		return o
	case WorkloadIdentity:
		o.TokenFile = file(t, proof+"\n")
	case ClientSecret:
		o.Secret = secret
	}
	o.ClientID, o.Authority = app, i.tenant.URL+"/tenant"
	return o
}
