package entra

import (
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"parley/store"
)

var methods = []Method{ManagedIdentity, WorkloadIdentity, ClientSecret}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// fetch fetches once, by what New makes of the options.
func fetch(t *testing.T, o Options) (token, error) {
	t.Helper()
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	f, err := newFetch(o)
	if err != nil {
		t.Fatal(err)
	}
	s := &Source{fetch: f, objectID: o.ObjectID}
	return s.valid(t.Context())
}

// Every method asks as its protocol says, for the right thing.
func TestWhatIsAsked(t *testing.T) {
	for m, want := range map[Method]url.Values{
		ManagedIdentity: {"api-version": {"2019-08-01"}, "resource": {"https://redis.azure.com"}, "header": {"header-of-the-machine"}},
		WorkloadIdentity: {
			"grant_type": {"client_credentials"}, "client_id": {app}, "client_assertion": {proof},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		},
		ClientSecret: {"grant_type": {"client_credentials"}, "client_id": {app}, "client_secret": {secret}},
	} {
		t.Run(string(m), func(t *testing.T) {
			i := newIssuer(t)
			o := i.options(t, m)
			got, err := fetch(t, o)
			if err != nil {
				t.Fatal(err)
			}
			// A second fetch asks again: the library keeps what it fetched, and would
			// give it until shortly before its end.
			again, err := fetch(t, o)
			if err != nil || again.secret == got.secret {
				t.Errorf("the second fetch gives the same token: %v", err)
			}
			if got.user != identity {
				t.Errorf("user %q, and the token is for %q", got.user, identity)
			}
			if left := time.Until(got.expires); left > time.Hour || left < 58*time.Minute {
				t.Errorf("the token is used for %v of an hour", left)
			}
			forms := i.forms()
			if len(forms) != 2 {
				t.Fatalf("%d requests for two tokens", len(forms))
			}
			for name := range want {
				if got, want := forms[0].Get(name), want.Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			if scope := forms[0].Get("scope"); m != ManagedIdentity && !strings.Contains(scope, DefaultScope) {
				t.Errorf("scope %q", scope)
			}
		})
	}
}

func TestIdentityByItsClientID(t *testing.T) {
	i := newIssuer(t)
	o := i.options(t, ManagedIdentity)
	o.ClientID, o.ObjectID = app, "set-by-the-operator"
	got, err := fetch(t, o)
	if err != nil || got.user != o.ObjectID {
		t.Fatalf("user %q: %v", got.user, err)
	}
	if f := i.forms()[0]; f.Get("client_id") != app {
		t.Errorf("asked for client id %q", f.Get("client_id"))
	}
}

// The token of Kubernetes is replaced while the service runs.
func TestTokenFileIsReadForEveryFetch(t *testing.T) {
	i := newIssuer(t)
	o := i.options(t, WorkloadIdentity)
	f, err := newFetch(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{proof, "another"} {
		if err := os.WriteFile(o.TokenFile, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := f(t.Context()); err != nil {
			t.Fatal(err)
		}
		forms := i.forms()
		if got := forms[len(forms)-1].Get("client_assertion"); got != want {
			t.Errorf("shows %q, and the file holds %q", got, want)
		}
	}
	for name, path := range map[string]string{"missing": filepath.Join(t.TempDir(), "none"), "empty": file(t, " \n"), "directory": t.TempDir()} {
		o.TokenFile = path
		if _, err := fetch(t, o); outage(err).Reason != "the token file cannot be read" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// mark stands in every answer for what no error may repeat.
const mark = "MARKED-user@contoso.example"

// Whatever the token source answers, the error says what it was, in words of ours.
func TestWhatATokenSourceCanAnswer(t *testing.T) {
	unsigned := func(claims jwt.MapClaims) string {
		token, err := jwt.NewWithClaims(jwt.SigningMethodNone, claims).SignedString(jwt.UnsafeAllowNoneSignatureType)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	token := func(secret, life string) string {
		return `{"token_type":"Bearer","access_token":"` + secret + `","expires_in":` + life + `}`
	}
	const refusal = `{"error":"invalid_client","error_description":"AADSTS700016: ` + mark + `","error_codes":[700016]}`
	for name, c := range map[string]struct {
		says   http.HandlerFunc
		reason string
		wait   time.Duration
	}{
		"refused":              {says(400, "", refusal), "the token source answers with status 400, AADSTS700016", 0},
		"refused, no number":   {says(401, "", mark), "the token source answers with status 401", 0},
		"throttled":            {says(429, "Retry-After: 7", mark), "the token source answers with status 429", 7 * time.Second},
		"away":                 {says(503, "Retry-After: "+mark, mark), "the token source answers with status 503", 0},
		"elsewhere":            {says(302, "Location: https://"+mark, mark), "the token source answers with status 302", 0},
		"no answer":            {hangUp, "the token source cannot be reached", 0},
		"not JSON":             {says(200, "", "<html>"+mark), "the token source answers with something that is not JSON", 0},
		"no token":             {says(200, "", `{"expires_in":3600}`), "", 0},
		"a token without life": {says(200, "", token(unsigned(jwt.MapClaims{"oid": identity}), "0")), "", 0},
		"no object id":         {says(200, "", token(unsigned(jwt.MapClaims{"sub": mark}), "3600")), "the token names no object id (claim oid)", 0},
		"no JWT":               {says(200, "", token(mark, "3600")), "the token names no object id (claim oid)", 0},
		"too long":             {says(200, "", `{"a":"`+strings.Repeat(mark, 100_000)), "the token source answers with something that is not JSON", 0},
	} {
		for _, m := range methods {
			t.Run(string(m)+"/"+name, func(t *testing.T) {
				i := newIssuer(t)
				o := i.options(t, m)
				i.breaks(c.says)
				_, err := fetch(t, o)
				if err == nil {
					t.Fatal("no error")
				}
				got := outage(err)
				want := c.reason
				if m == ManagedIdentity { // the library has read the number and does not give it
					want, _, _ = strings.Cut(want, ", AADSTS")
				}
				if want != "" && got.Reason != want {
					t.Errorf("reason %q, want %q", got.Reason, want)
				}
				if f, _ := errors.AsType[*failed](err); f == nil || f.wait != c.wait {
					t.Errorf("waits %+v, want %v", f, c.wait)
				}
				for text := range map[string]bool{got.Error(): true, got.Cause.Error(): true} {
					for _, s := range []string{mark, secret, proof, "127.0.0.1"} {
						if strings.Contains(text, s) {
							t.Errorf("the error repeats %q: %s", s, text)
						}
					}
				}
				if !errors.Is(got, store.ErrCredentials) || !got.Transient() {
					t.Errorf("%v is not for good", got)
				}
			})
		}
	}
}

// A source that is not who it says is told nothing.
func TestUnknownAuthority(t *testing.T) {
	i := newIssuer(t)
	o := i.options(t, ClientSecret)
	o.RootCAs = nil
	_, err := fetch(t, o)
	if got := outage(err).Reason; got != "the certificate of the token source is not valid" {
		t.Errorf("reason %q: %v", got, err)
	}
	if len(i.forms()) != 0 {
		t.Error("the secret was sent")
	}
}

func TestOptionsThatCannotBeMeant(t *testing.T) {
	const authority = "https://login.example/tenant"
	for name, o := range map[string]Options{
		"nothing":                         {},
		"no such method":                  {Method: "password", Authority: authority, ClientID: app},
		"managed identity and a secret":   {Method: ManagedIdentity, Secret: secret},
		"managed identity and a tenant":   {Method: ManagedIdentity, Authority: authority},
		"managed identity and a file":     {Method: ManagedIdentity, TokenFile: "f"},
		"no tenant":                       {Method: ClientSecret, Authority: "https://login.example/", ClientID: app, Secret: secret},
		"plain HTTP":                      {Method: ClientSecret, Authority: "http://login.example/tenant", ClientID: app, Secret: secret},
		"no client id":                    {Method: ClientSecret, Authority: authority, Secret: secret},
		"no secret":                       {Method: ClientSecret, Authority: authority, ClientID: app},
		"secret and a file":               {Method: ClientSecret, Authority: authority, ClientID: app, Secret: secret, TokenFile: "f"},
		"no file":                         {Method: WorkloadIdentity, Authority: authority, ClientID: app},
		"file and a secret":               {Method: WorkloadIdentity, Authority: authority, ClientID: app, Secret: secret, TokenFile: "f"},
		"an authority that is not a host": {Method: WorkloadIdentity, Authority: "https:///tenant", ClientID: app, TokenFile: "f"},
	} {
		s, err := New(o)
		if err == nil {
			s.Close()
			t.Errorf("%s: no error", name)
			continue
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error holds the secret", name)
		}
	}
}

// What is read of a token is its object id, whatever it looks like.
func FuzzObjectID(f *testing.F) {
	for _, s := range []string{"", ".", "a.b.c", "..", "e30.eyJvaWQiOiJ4In0.", "e30.eyJvaWQiOjF9.x", "e30.bnVsbA.x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got := objectID(s); got != "" && strings.Count(s, ".") < 2 {
			t.Errorf("%q is no JWT and has the object id %q", s, got)
		}
	})
}
