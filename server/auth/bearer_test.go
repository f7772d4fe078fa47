package auth

import (
	"context"
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
	return newDeskAt(t, authtest.NewIssuer(t), change...)
}

// newDeskAt is newDesk with an issuer that is there, which is given a key.
func newDeskAt(t *testing.T, issuer *authtest.Issuer, change ...func(*Options)) *desk {
	t.Helper()
	d := &desk{key: authtest.NewEC(t, "ec-1"), clock: &clock{at: time.Now()}, issuer: issuer}
	d.issuer.Add(d.key)
	o := Options{
		Source: Source{Issuer: d.issuer.URL()}, Audiences: []string{"api://" + authtest.ClientID, authtest.ClientID},
		Tenants: []string{authtest.Tenant}, Scopes: []string{authtest.Scope}, Roles: []string{authtest.Role},
		Transport: d.issuer.Transport(), Now: d.clock.now,
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

func TestAttacks(t *testing.T) {
	d := newDesk(t)
	attacks := authtest.Attacks(t, d.issuer)
	reasons := map[Reason]bool{}
	if err := d.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, a := range attacks {
		who, err := d.Verify(t.Context(), a.Header)
		if who != (Principal{}) {
			t.Errorf("%s: let in as %v", name, who)
		}
		if a.Forbidden {
			turnedAway, ok := errors.AsType[*ForbiddenError](err)
			if !ok || !errors.Is(err, ErrForbidden) || turnedAway.Tenant == "" || turnedAway.User == "" || strings.Contains(err.Error(), turnedAway.User) {
				t.Errorf("%s: %v, want forbidden, for somebody without a name", name, err)
			}
			continue
		}
		if a.Unavailable {
			if e, ok := errors.AsType[*UnavailableError](err); !ok || e.RetryAfter <= 0 || errors.Is(err, ErrUnauthenticated) {
				t.Errorf("%s: %v, want unavailable for a while", name, err)
			}
			continue
		}
		refusal, ok := errors.AsType[*TokenError](err)
		if !ok || !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%s: %v", name, err)
		} else if refusal.Description != a.Description || string(refusal.Reason) != a.Reason {
			t.Errorf("%s: %s: %q, want %s: %q", name, refusal.Reason, refusal.Description, a.Reason, a.Description)
		} else {
			reasons[refusal.Reason] = true
		}
	}
	_, err := d.Verify(t.Context(), "")
	if e, ok := errors.AsType[*TokenError](err); !ok || e.Reason != ReasonMissing {
		t.Errorf("nothing: %v", err)
	}
	reasons[ReasonMissing] = true
	for _, r := range Reasons() {
		if !reasons[r] {
			t.Errorf("no attack is refused with %s", r)
		}
	}
	// The kid of a stranger's choice leads nowhere, and to the issuer rarely.
	if n := d.issuer.Requests(); n > 2 {
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

// The issuer of a customer tenant is known by its document, and is held to it.
func TestIssuerOfTheDocument(t *testing.T) {
	d := newDesk(t, func(o *Options) { o.Source = Source{Discovery: o.Source.Issuer + wellKnown} })
	const name = "https://11111111.ciamlogin.com/11111111/v2.0"
	document := jsonText(t, map[string]string{"issuer": name, "jwks_uri": d.issuer.KeysURL()})
	keys := jsonText(t, map[string]any{"keys": []any{d.key.JWK()}})
	d.issuer.Break(func(w http.ResponseWriter, r *http.Request) {
		answer := document
		if r.URL.Path == "/keys" {
			answer = keys
		}
		authtest.Says(answer)(w, r)
	})
	for iss, ok := range map[string]bool{name: true, d.issuer.URL(): false, "": false} {
		if _, err := d.show(t, d.key.Token(d.issuer.Claims().With("iss", iss))); (err == nil) != ok {
			t.Errorf("%q: %v", iss, err)
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
