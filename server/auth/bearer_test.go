package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/server/auth/authtest"
)

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// desk is a Bearer with its issuer.
type desk struct {
	*Bearer
	issuer *authtest.Issuer
	key    *authtest.Key
	clock  *clock
}

func newDesk(t *testing.T, change ...func(*Options)) *desk {
	t.Helper()
	d := &desk{key: authtest.NewEC(t, "ec-1"), clock: &clock{at: time.Now()}}
	d.issuer = authtest.NewIssuer(t, d.key)
	o := Options{
		Source: Source{Issuer: d.issuer.URL()}, Audiences: []string{"api://" + authtest.ClientID, authtest.ClientID},
		Tenants: []string{authtest.Tenant}, Transport: d.issuer.Transport(), Now: d.clock.now,
	}
	for _, f := range change {
		f(&o)
	}
	b, err := NewBearer(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	d.Bearer = b
	return d
}

// show verifies a token.
func (d *desk) show(t *testing.T, token string) (Principal, error) {
	t.Helper()
	return d.Verify(t.Context(), "Bearer "+token)
}

func TestValidTokens(t *testing.T) {
	rsa := authtest.NewRSA(t, "rsa-1")
	d := newDesk(t)
	d.issuer.Rotate(d.key, rsa)
	claims := d.issuer.Claims()
	for name, token := range map[string]string{
		"ES256":         d.key.Token(claims),
		"RS256":         rsa.Token(claims),
		"bare audience": rsa.Token(claims.With("aud", authtest.ClientID)),
		"one of many":   rsa.Token(claims.With("aud", []string{"other", authtest.ClientID})),
		"clock behind":  rsa.Token(claims.With("exp", time.Now().Add(-20*time.Second).Unix())),
		"clock ahead":   rsa.Token(claims.With("nbf", time.Now().Add(20*time.Second).Unix())),
		"no typ":        authtest.Token(rsa.Header().With("typ", nil), claims, rsa.Sign),
		"access token":  authtest.Token(rsa.Header().With("typ", "at+JWT"), claims, rsa.Sign),
	} {
		who, err := d.show(t, token)
		if err != nil || who != (Principal{Tenant: authtest.Tenant, User: authtest.User, Token: token}) {
			t.Errorf("%s: %v, %v", name, who, err)
		}
	}
	if _, err := d.Verify(t.Context(), "bEARER "+rsa.Token(claims)); err != nil {
		t.Errorf("the scheme has no case (RFC 9110, section 11.1): %v", err)
	}
	if n := d.issuer.Requests(); n != 2 {
		t.Errorf("%d requests to the issuer, want 2: discovery and keys, once", n)
	}
}

// Attacks are header values that let nobody in. Each names what it must come to.
func attacks(t *testing.T, d *desk) map[string]struct {
	header string
	want   string // description, "" for ErrForbidden
} {
	t.Helper()
	const (
		invalid  = "The token is not valid."
		malform  = "The Authorization header must hold one bearer token."
		audience = "The token is for another audience."
		issuer   = "The token is from another issuer."
		lacks    = "The token lacks the claims tid and oid."
	)
	rsa, stranger := authtest.NewRSA(t, "rsa-1"), authtest.NewRSA(t, "rsa-1")
	d.issuer.Rotate(d.key, rsa)
	good := d.issuer.Claims()
	token := rsa.Token(good)
	der, err := x509.MarshalPKIXPublicKey(rsa.Private.Public())
	if err != nil {
		t.Fatal(err)
	}
	hs256 := func(secret []byte) func([]byte) []byte {
		return func(input []byte) []byte {
			mac := hmac.New(sha256.New, secret)
			mac.Write(input)
			return mac.Sum(nil)
		}
	}
	hs := rsa.Header().With("alg", "HS256")
	ago := func(d time.Duration) int64 { return time.Now().Add(-d).Unix() }
	claim := func(name string, value any) string { return "Bearer " + rsa.Token(good.With(name, value)) }
	header := func(name string, value any) string {
		return "Bearer " + authtest.Token(rsa.Header().With(name, value), good, rsa.Sign)
	}
	parts := strings.Split(token, ".")
	return map[string]struct{ header, want string }{
		"alg none":                  {"Bearer " + authtest.Token(rsa.Header().With("alg", "none"), good, nil), invalid},
		"alg nOnE":                  {"Bearer " + authtest.Token(rsa.Header().With("alg", "nOnE"), good, nil), invalid},
		"alg none, signed":          {"Bearer " + authtest.Token(rsa.Header().With("alg", "none"), good, rsa.Sign), invalid},
		"alg missing":               {header("alg", nil), invalid},
		"alg no string":             {header("alg", 256), invalid},
		"HS256 with the public key": {"Bearer " + authtest.Token(hs, good, hs256(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))), invalid},
		"HS256 with its DER":        {"Bearer " + authtest.Token(hs, good, hs256(der)), invalid},
		"HS256 with nothing":        {"Bearer " + authtest.Token(hs, good, hs256(nil)), invalid},
		"RS384":                     {header("alg", "RS384"), invalid},
		"PS256":                     {header("alg", "PS256"), invalid},
		"ES256 with an RSA key":     {"Bearer " + authtest.Token(rsa.Header().With("alg", "ES256"), good, d.key.Sign), invalid},
		"RS256 with an EC key":      {"Bearer " + authtest.Token(d.key.Header().With("alg", "RS256"), good, rsa.Sign), invalid},
		"wrong key":                 {"Bearer " + stranger.Token(good), invalid},
		"unknown kid":               {header("kid", "elsewhere"), invalid},
		"another key's kid":         {header("kid", d.key.ID), invalid},
		"no kid":                    {header("kid", nil), invalid},
		"kid no string":             {header("kid", []string{"rsa-1"}), invalid},
		"kid a path":                {header("kid", "../../dev/null"), invalid},
		"kid with NUL":              {header("kid", "rsa-1\x00"), invalid},
		"embedded jwk":              {"Bearer " + authtest.Token(stranger.Header().With("jwk", stranger.JWK()), good, stranger.Sign), invalid},
		"jku":                       {"Bearer " + authtest.Token(stranger.Header().With("jku", "https://evil.example/keys"), good, stranger.Sign), invalid},
		"x5u":                       {"Bearer " + authtest.Token(stranger.Header().With("x5u", "https://evil.example/cert"), good, stranger.Sign), invalid},
		"x5c":                       {"Bearer " + authtest.Token(stranger.Header().With("x5c", []string{"MIIB"}), good, stranger.Sign), invalid},
		"embedded jwk, good key":    {header("jwk", rsa.JWK()), invalid},
		"crit":                      {header("crit", []string{"b64"}), invalid},
		"another purpose":           {header("typ", "logout+jwt"), invalid},
		"typ no string":             {header("typ", 1), invalid},
		"expired":                   {claim("exp", ago(time.Hour)), "The token has expired."},
		"just expired":              {claim("exp", ago(40*time.Second)), "The token has expired."},
		"no expiry":                 {claim("exp", nil), invalid},
		"expiry no number":          {claim("exp", "never"), invalid},
		"from the future":           {claim("nbf", ago(-time.Hour)), "The token is not valid yet."},
		"issued in the future":      {claim("iat", ago(-time.Hour)), "The token is not valid yet."},
		"wrong audience":            {claim("aud", "api://other"), audience},
		"longer audience":           {claim("aud", "api://"+authtest.ClientID+".evil.example"), audience},
		"no audience":               {claim("aud", nil), invalid},
		"audience no string":        {claim("aud", 7), invalid},
		"wrong issuer":              {claim("iss", "https://evil.example"), issuer},
		"longer issuer":             {claim("iss", d.issuer.URL()+"/"), issuer},
		"no issuer":                 {claim("iss", nil), issuer},
		"issuer no string":          {claim("iss", []string{d.issuer.URL()}), issuer},
		"template for issuer":       {claim("iss", tenantID), issuer},
		"no tid":                    {claim("tid", nil), lacks},
		"empty tid":                 {claim("tid", ""), lacks},
		"tid a list":                {claim("tid", []string{authtest.Tenant}), lacks},
		"tid a number":              {claim("tid", 1), lacks},
		"tid with a space":          {claim("tid", " "+authtest.Tenant), lacks},
		"tid under another name":    {"Bearer " + rsa.Token(good.With("tid", nil).With("TID", authtest.Tenant)), lacks},
		"no oid":                    {claim("oid", nil), lacks},
		"oid an object":             {claim("oid", map[string]string{"a": "b"}), lacks},
		"endless oid":               {claim("oid", strings.Repeat("a", maxClaim+1)), lacks},
		"oid of two lines":          {claim("oid", "a\nb"), lacks},
		"tenant not allowed":        {claim("tid", "66666666-2222-3333-4444-555555555555"), ""},
		"tenant in another case":    {claim("tid", strings.ToUpper("a"+authtest.Tenant[1:])), ""},
		"no token":                  {"Bearer", malform},
		"empty token":               {"Bearer ", malform},
		"another scheme":            {"Basic dXNlcjpwYXNz", malform},
		"no scheme":                 {token, malform},
		"two tokens":                {"Bearer " + token + " " + token, malform},
		"two tokens, comma":         {"Bearer " + token + ", Bearer " + token, malform},
		"two spaces":                {"Bearer  " + token, malform},
		"tab":                       {"Bearer\t" + token, malform},
		"space after":               {"Bearer " + token + " ", malform},
		"newline after":             {"Bearer " + token + "\n", malform},
		"padding":                   {"Bearer " + token + "==", malform},
		"padding inside":            {"Bearer " + parts[0] + "=." + parts[1] + "." + parts[2], malform},
		"standard base64":           {"Bearer " + parts[0] + "." + parts[1] + ".+/+/", malform},
		"trailing bits":             {"Bearer " + parts[0] + "." + parts[1] + "." + parts[2][:len(parts[2])-1] + trailing(parts[2]), invalid},
		"two parts":                 {"Bearer " + parts[0] + "." + parts[1], malform},
		"four parts":                {"Bearer " + token + ".", malform},
		"five parts, as encrypted":  {"Bearer " + token + "..", malform},
		"no signature":              {"Bearer " + parts[0] + "." + parts[1] + ".", invalid},
		"no claims":                 {"Bearer " + parts[0] + ".." + parts[2], invalid},
		"changed claims":            {"Bearer " + parts[0] + "." + strings.Split(rsa.Token(good.With("oid", "other")), ".")[1] + "." + parts[2], invalid},
		"16 KiB":                    {"Bearer " + rsa.Token(good.With("groups", strings.Repeat("g", 16<<10))), malform},
		"16 KiB of dots":            {"Bearer " + strings.Repeat(".", 16<<10), malform},
		"dots":                      {"Bearer ..", invalid},
		"not ASCII":                 {"Bearer " + token + "é", malform},
	}
}

// trailing is another last character for the same bytes: the bits of the last one
// that base64 does not need are not zero any more.
func trailing(part string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, part[len(part)-1])|1])
}

func TestAttacks(t *testing.T) {
	d := newDesk(t)
	for name, a := range attacks(t, d) {
		who, err := d.Verify(t.Context(), a.header)
		if who != (Principal{}) {
			t.Errorf("%s: let in as %v", name, who)
		}
		if a.want == "" {
			if !errors.Is(err, ErrForbidden) {
				t.Errorf("%s: %v, want forbidden", name, err)
			}
			continue
		}
		refusal, ok := errors.AsType[*TokenError](err)
		if !ok || !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%s: %v", name, err)
		} else if refusal.Description != a.want {
			t.Errorf("%s: %q, want %q", name, refusal.Description, a.want)
		}
	}
	if _, err := d.Verify(t.Context(), ""); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("nothing: %v", err)
	}
	// The kid of a stranger's choice leads nowhere but to the issuer, and rarely.
	if n := d.issuer.Requests(); n > 4 {
		t.Errorf("%d requests to the issuer", n)
	}
}

// An empty list of tenants lets nobody in.
func TestNobody(t *testing.T) {
	d := newDesk(t, func(o *Options) { o.Tenants = nil })
	if _, err := d.show(t, d.key.Token(d.issuer.Claims())); !errors.Is(err, ErrForbidden) {
		t.Error(err)
	}
}

// An issuer of many tenants vouches for each by its own name only.
func TestManyTenants(t *testing.T) {
	const other = "66666666-2222-3333-4444-555555555555"
	d := newDesk(t, func(o *Options) {
		o.Source = Source{Issuer: "https://login.example/{tenantid}/v2.0", KeysURL: strings.TrimSuffix(o.Source.Issuer, "/") + "/keys"}
		o.Tenants = append(o.Tenants, other)
	})
	claims := d.issuer.Claims()
	for iss, ok := range map[string]bool{
		"https://login.example/" + authtest.Tenant + "/v2.0": true,
		"https://login.example/" + other + "/v2.0":           false,
		"https://login.example/{tenantid}/v2.0":              false,
		"https://login.example//v2.0":                        false,
	} {
		_, err := d.show(t, d.key.Token(claims.With("iss", iss)))
		if refusal, is := errors.AsType[*TokenError](err); (err == nil) != ok || !ok && (!is || !strings.Contains(refusal.Description, "issuer")) {
			t.Errorf("%s: %v", iss, err)
		}
	}
}

// A key that is one tenant's signs for that tenant only.
func TestKeyOfOneTenant(t *testing.T) {
	d := newDesk(t, func(o *Options) {
		o.Source = Source{Issuer: "https://login.example/{tenantid}/v2.0", KeysURL: o.Source.Issuer + "/keys"}
	})
	claims := d.issuer.Claims().With("iss", "https://login.example/"+authtest.Tenant+"/v2.0")
	for only, ok := range map[string]bool{
		"https://login.example/{tenantid}/v2.0":              true,
		"https://login.example/" + authtest.Tenant + "/v2.0": true,
		"https://login.example/other/v2.0":                   false,
	} {
		jwk := d.key.JWK()
		jwk["issuer"] = only
		d.issuer.Break(authtest.Says(jsonText(t, map[string]any{"keys": []any{jwk}})))
		d.clock.pass(refreshAfter)
		if err := d.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := d.show(t, d.key.Token(claims.With("exp", d.clock.now().Add(time.Hour).Unix()))); (err == nil) != ok {
			t.Errorf("%s: %v", only, err)
		}
	}
}

func TestOptions(t *testing.T) {
	good := Options{Source: Source{Issuer: "https://a.example"}, Audiences: []string{"a"}}
	for name, change := range map[string]func(*Options){
		"no source":              func(o *Options) { o.Source = Source{} },
		"keys without an issuer": func(o *Options) { o.Source = Source{KeysURL: "https://a.example/keys"} },
		"issuer without TLS":     func(o *Options) { o.Source.Issuer = "http://a.example" },
		"issuer no URL":          func(o *Options) { o.Source.Issuer = "a" },
		"keys without TLS":       func(o *Options) { o.Source.KeysURL = "http://a.example/keys" },
		"template, no keys":      func(o *Options) { o.Source.Issuer = "https://a.example/{tenantid}" },
		"no audience":            func(o *Options) { o.Audiences = nil },
		"empty audience":         func(o *Options) { o.Audiences = []string{""} },
	} {
		o := good
		o.Audiences = slices.Clone(o.Audiences)
		change(&o)
		if b, err := NewBearer(o); err == nil {
			b.Close()
			t.Errorf("%s is accepted", name)
		}
	}
	for _, source := range []Source{good.Source, CIAM("contoso"), {Issuer: "http://127.0.0.1:1"}, {Issuer: "a", KeysURL: "https://a.example/keys"}} {
		b, err := NewBearer(Options{Source: source, Audiences: []string{"a"}})
		if err != nil {
			t.Errorf("%+v: %v", source, err)
			continue
		}
		b.Close()
	}
	if got, want := CIAM("contoso").Discovery, "https://contoso.ciamlogin.com/contoso.onmicrosoft.com/v2.0/.well-known/openid-configuration"; got != want {
		t.Error(got)
	}
}

// A caller that leaves is no fault of the issuer's.
func TestCallerLeaves(t *testing.T) {
	d := newDesk(t)
	asked := make(chan struct{}, 1)
	d.issuer.Break(func(w http.ResponseWriter, r *http.Request) { asked <- struct{}{}; authtest.Slow(w, r) })
	ctx, leave := context.WithCancel(t.Context())
	go func() { <-asked; leave() }()
	if _, err := d.Verify(ctx, "Bearer "+d.key.Token(d.issuer.Claims())); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
}
