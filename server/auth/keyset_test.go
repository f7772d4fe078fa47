package auth

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/server/auth/authtest"
)

// Only what may sign tokens is taken from a key set.
func TestKeySets(t *testing.T) {
	ec, rsa := authtest.NewEC(t, "ec"), authtest.NewRSA(t, "rsa")
	with := func(k *authtest.Key, name string, value any) map[string]any {
		jwk := k.JWK()
		jwk[name] = value
		return jwk
	}
	for name, c := range map[string]struct {
		jwk map[string]any
		alg string // "" when the key is left out
	}{
		"EC":            {ec.JWK(), algEC},
		"RSA":           {rsa.JWK(), algRSA},
		"ES256":         {with(ec, "alg", "ES256"), algEC},
		"RS256":         {with(rsa, "alg", "RS256"), algRSA},
		"verify":        {with(rsa, "key_ops", []string{"verify"}), algRSA},
		"no use":        {with(rsa, "use", ""), algRSA},
		"x5u":           {with(rsa, "x5u", "http://169.254.169.254/"), algRSA},
		"x5c":           {with(rsa, "x5c", []string{"MIIB"}), algRSA},
		"RS512":         {with(rsa, "alg", "RS512"), ""},
		"HS256":         {with(rsa, "alg", "HS256"), ""},
		"ES256 for RSA": {with(rsa, "alg", "ES256"), ""},
		"encryption":    {with(rsa, "use", "enc"), ""},
		"signing only":  {with(rsa, "key_ops", []string{"sign"}), ""},
		"short":         {with(rsa, "n", "AQAB"), ""},
		"no number":     {with(rsa, "n", 7), ""},
		"P-384":         {with(ec, "crv", "P-384"), ""},
		"off the curve": {with(ec, "y", rsa.JWK()["e"]), ""},
		"no kid":        {with(rsa, "kid", ""), ""},
		"secret":        {map[string]any{"kty": "oct", "k": "c2VjcmV0", "kid": "s"}, ""},
	} {
		beside := with(ec, "kid", "beside")
		keys, err := parseKeys([]byte(jsonText(t, map[string]any{"keys": []any{c.jwk, beside}})))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		delete(keys, "beside")
		if c.alg == "" && len(keys) != 0 || c.alg != "" && (len(keys) != 1 || keys[c.jwk["kid"].(string)][0].alg != c.alg) {
			t.Errorf("%s: %v", name, slices.Collect(maps.Keys(keys)))
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"AA","y":"AA"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","kid":"11","use":"sig","x":"WKn-ZIGevcwGIyyrzFoZNBdaq9_TsqzGl96oc0CWuis","y":"y77t-RvAHRKTsSGdIYUfweuOvwrvDD-Q3Hv5J0fSKbE"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, err := parseKeys(body)
		if (err == nil) != (len(keys) > 0) {
			t.Errorf("%d keys, %v", len(keys), err)
		}
		for kid, of := range keys {
			for _, k := range of {
				if kid == "" || k.alg != algRSA && k.alg != algEC || k.public == nil {
					t.Errorf("%q: %+v", kid, k)
				}
			}
		}
	})
}

// Whatever stands in the header, only the one good token is let in.
func FuzzVerify(f *testing.F) {
	key := authtest.NewEC(f, "ec")
	now := time.Now()
	claims := authtest.Object{"iss": "https://a.example", "aud": "a", "tid": "t", "oid": "u", "scp": "s", "exp": now.Add(time.Hour).Unix()}
	good := "Bearer " + key.Token(claims)
	body, err := json.Marshal(map[string]any{"keys": []any{key.JWK()}})
	if err != nil {
		f.Fatal(err)
	}
	issuer := authtest.NewIssuer(f)
	issuer.Break(authtest.Says(string(body)))
	b, err := NewBearer(Options{
		Source: Source{Issuer: "https://a.example", KeysURL: issuer.KeysURL()}, Audiences: []string{"a"}, Tenants: []string{"t"},
		Transport: issuer.Transport(), Now: func() time.Time { return now },
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(b.Close)
	f.Add(good)
	f.Add("Bearer " + authtest.Token(key.Header().With("alg", "none"), claims, nil))
	f.Add("Bearer " + authtest.Token(key.Header().With("kid", "x"), claims, key.Sign))
	f.Add("Bearer " + key.Token(claims.With("exp", 1e300)))
	f.Add("Bearer " + key.Token(claims.With("exp", -1)))
	f.Add("Bearer a.b.c")
	f.Add("")
	f.Fuzz(func(t *testing.T, header string) {
		who, err := b.Verify(t.Context(), header)
		if err == nil && !strings.HasSuffix(header, good[len("Bearer "):]) {
			t.Errorf("%q lets in %v", header, who)
		}
		if err != nil && (who != (Principal{}) || !errors.Is(err, ErrUnauthenticated) && !errors.Is(err, ErrUnavailable)) {
			t.Errorf("%q: %v, %v", header, who, err)
		}
	})
}
