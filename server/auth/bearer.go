package auth

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// leeway is how far the issuer's clock and ours may be apart.
	leeway = 30 * time.Second
	// maxToken is the longest token that is looked at, in bytes. An issuer that
	// puts two hundred groups into one stays below it.
	maxToken = 12 << 10
	// maxClaim is the longest tenant or user that is taken, in bytes.
	maxClaim = 128
)

// Options are what a Bearer needs to know. Source, Audiences and Tenants must be
// given.
type Options struct {
	Source Source
	// Audiences are the values of the claim aud that are for this service.
	Audiences []string
	// Tenants are the values of the claim tid that may come in; none lets nobody
	// in.
	Tenants []string
	// Scopes are the values of the claim scp that let a user's token in, and Roles
	// those of the claim roles that let in a token of an application without a
	// user, and a user's where Scopes is empty. One of them is enough. With both
	// empty, every user's token of the right audience and tenant comes in, and no
	// application's.
	Scopes, Roles []string
	// Transport carries the requests for keys; nil means one of its own. Redirects
	// are not followed.
	Transport http.RoundTripper
	// OnRefresh is told how each attempt to fetch the keys ended; nil for nothing.
	OnRefresh func(error)
	Trace     Trace
	Now       func() time.Time // nil means time.Now
}

// Bearer is the Verifier of signed bearer tokens (RFC 6750, RFC 7519), with the
// precautions of RFC 8725: RS256 and ES256 alone, one algorithm per key, and no
// key but the issuer's own.
type Bearer struct {
	keys      *keys
	parser    *jwt.Parser
	tenants   []string
	grants    grants
	closeIdle func()
}

var _ Verifier = (*Bearer)(nil)

// NewTransport is a transport for Options, with the bounds that requests to an issuer
// need.
func NewTransport() *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
		MaxResponseHeaderBytes: 64 << 10, IdleConnTimeout: time.Minute,
	}
}

// NewBearer makes a Bearer. It does no I/O: the first token, or Refresh, fetches
// the keys. Whoever made it closes it.
func NewBearer(o Options) (*Bearer, error) {
	if err := o.Source.check(); err != nil {
		return nil, err
	}
	if len(o.Audiences) == 0 || slices.Contains(o.Audiences, "") {
		return nil, errors.New("auth: Audiences are missing")
	}
	if o.Transport == nil {
		o.Transport = NewTransport()
	}
	if o.OnRefresh == nil {
		o.OnRefresh = func(error) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	f := &fetcher{source: o.Source, client: &http.Client{
		Transport: o.Transport,
		// A key set from elsewhere is not the issuer's.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	return &Bearer{
		keys: newKeys(f.fetch, o.OnRefresh, o.Trace, o.Now),
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{algRSA, algEC}), jwt.WithStrictDecoding(),
			jwt.WithLeeway(leeway), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
			jwt.WithAudience(o.Audiences...), jwt.WithTimeFunc(o.Now),
		),
		tenants:   slices.Clone(o.Tenants),
		grants:    grants{slices.Clone(o.Scopes), slices.Clone(o.Roles)},
		closeIdle: f.client.CloseIdleConnections,
	}, nil
}

// Refresh fetches the keys now, if that is due, so that the first token need not
// wait for them. Its error matches ErrUnavailable or is the context's.
func (b *Bearer) Refresh(ctx context.Context) error { return b.keys.refresh(ctx) }

// KeysAge is how long ago the keys were fetched; known is false if they never were.
func (b *Bearer) KeysAge() (_ time.Duration, known bool) { return b.keys.age() }

// Close ends what still runs; Verify must not be called any more.
func (b *Bearer) Close() {
	b.keys.close()
	b.closeIdle()
}

// Verify implements Verifier. A token of the issuer for somebody who is not
// allowed, or without a scope or role that it needs, is a *ForbiddenError; any other that
// is not valid, a *TokenError; one whose key cannot be fetched now, an
// *UnavailableError.
func (b *Bearer) Verify(ctx context.Context, authorization string) (Principal, error) {
	if authorization == "" {
		return Principal{}, refused(ReasonMissing, "A bearer token is required.")
	}
	token, ok := bearer(authorization)
	if !ok {
		return Principal{}, refused(ReasonMalformed, "The Authorization header must hold one bearer token.")
	}
	var issuer string
	claims := jwt.MapClaims{}
	parsed, err := b.parser.ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) {
		kid, err := keyID(t)
		if err != nil {
			return nil, err
		}
		var found []key
		if found, issuer, err = b.keys.find(ctx, kid); err != nil {
			return nil, err
		}
		return usable(found, t, claims)
	})
	unavailable, ok := errors.AsType[*UnavailableError](err)
	switch {
	case ok:
		return Principal{}, unavailable
	case errors.Is(err, context.Canceled):
		return Principal{}, context.Canceled
	case err != nil:
		return Principal{}, refused(describe(err))
	}
	return b.admit(token, parsed.Header, claims, issuer)
}

// usable gives the keys of one name that a token may have been signed with.
func usable(found []key, t *jwt.Token, claims jwt.MapClaims) (any, error) {
	issuer, _ := claims["iss"].(string)
	var set jwt.VerificationKeySet
	for _, k := range found {
		// Or a public key could be taken for the secret of another algorithm. And a
		// key may be narrower than the issuer of many tenants that publishes it.
		if k.alg == t.Method.Alg() && (k.only == "" || issuer == of(k.only, plain(claims["tid"]))) {
			set.Keys = append(set.Keys, k.public)
		}
	}
	switch len(set.Keys) {
	case 0:
		return nil, errNotOurs
	case 1:
		return set.Keys[0], nil
	}
	return set, nil
}

// admit reads who it is out of a token whose signature, times and audience are
// right.
func (b *Bearer) admit(token string, header map[string]any, claims jwt.MapClaims, issuer string) (Principal, error) {
	tenant, user := plain(claims["tid"]), plain(claims["oid"])
	if tenant == "" || user == "" {
		return Principal{}, refused(ReasonClaims, "The token lacks the claims tid and oid.")
	}
	// An issuer of many tenants names the tenant in iss: that must be the one the
	// token speaks for.
	if iss, _ := claims["iss"].(string); iss == "" || iss != of(issuer, tenant) {
		return Principal{}, refused(ReasonIssuer, "The token is from another issuer.")
	}
	err, reason := b.grants.check(header, claims), ReasonGrant
	if err == nil && !slices.Contains(b.tenants, tenant) {
		err, reason = ErrForbidden, ReasonTenant
	}
	switch {
	case errors.Is(err, ErrForbidden):
		return Principal{}, &ForbiddenError{Tenant: tenant, User: user, Reason: reason}
	case err != nil:
		return Principal{}, err
	}
	return Principal{Tenant: tenant, User: user, Token: token}, nil
}

// errNotOurs is a token that no key of the issuer can have signed.
var errNotOurs = errors.New("auth: no key for this token")

// keyID reads the key's name from a token's header. What else the header may say
// of keys is the sender's word, and a token that tries it is refused; so is one
// made for another purpose (RFC 8725, sections 3.10 and 3.11).
func keyID(t *jwt.Token) (string, error) {
	for _, name := range []string{"jwk", "jku", "x5u", "x5c", "crit"} {
		if _, there := t.Header[name]; there {
			return "", errNotOurs
		}
	}
	if typ, there := t.Header["typ"]; there {
		switch s, _ := typ.(string); strings.ToLower(s) {
		case "jwt", "at+jwt", "application/at+jwt":
		default:
			return "", errNotOurs
		}
	}
	kid := plain(t.Header["kid"])
	if kid == "" {
		return "", errNotOurs
	}
	return kid, nil
}

// describe says what is wrong with a token, to somebody who may have no business
// here: only what its bearer can read in it anyway.
func describe(err error) (Reason, string) {
	const invalid = "The token is not valid."
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return ReasonMalformed, invalid
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable):
		return ReasonSignature, invalid
	case errors.Is(err, jwt.ErrTokenExpired):
		return ReasonExpired, "The token has expired."
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return ReasonEarly, "The token is not valid yet."
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return ReasonAudience, "The token is for another audience."
	}
	return ReasonClaims, invalid
}

// bearer takes the token out of an Authorization header: the scheme, one space,
// three parts in base64url without padding. Anything else two readers might read
// in two ways.
func bearer(header string) (token string, ok bool) {
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") || len(token) > maxToken {
		return "", false
	}
	dots := 0
	for i := range len(token) {
		switch c := token[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		case c == '.':
			dots++
		default:
			return "", false
		}
	}
	return token, dots == 2
}

// plain gives a JSON value that is a string of 1 to maxClaim bytes of visible
// ASCII; of any other, "".
func plain(v any) string {
	s, _ := v.(string)
	if len(s) > maxClaim {
		return ""
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return ""
		}
	}
	return s
}
