package auth

import (
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// grants is what a token must have been granted, beside its tenant.
type grants struct{ scopes, roles []string }

const idTokenShown = "The token is an ID token; an access token is required." //nolint:gosec // a sentence, no credential

// check decides whether a token of the issuer was issued for this: who signed in
// and to what service says nothing of what the client may do there.
//
//   - An ID token tells a client who its user is. It is nobody's key to an API, and
//     clients hand it to third parties (RFC 9700, OpenID Connect Core, section 2).
//   - A user's token needs one of the scopes; where none are configured, one of the
//     roles; where neither is, nothing more.
//   - A token of an application without a user has no scope. It always needs one of
//     the roles.
//
// Its error is a *TokenError for an ID token, else ErrForbidden.
func (g grants) check(header map[string]any, claims jwt.MapClaims) error {
	granted := words(claims["scp"])
	if _, there := claims["scp"]; !there {
		granted = words(claims["scope"]) // the standard's name for it (RFC 9068, section 2.2.3)
	}
	appOnly := len(granted) == 0 || claims["idtyp"] == "app"
	switch {
	case isIDToken(header, claims, len(granted) > 0):
		return refused(ReasonIDToken, idTokenShown)
	case appOnly, len(g.scopes) == 0 && len(g.roles) > 0:
		return anyOf(g.roles, words(claims["roles"]))
	case len(g.scopes) > 0:
		return anyOf(g.scopes, granted)
	}
	return nil
}

// isIDToken reports whether a token is an ID token, by all signs that issuers give
// of it. Entra's carry no kind: they are told by what they lack, which is a scope
// and the client that an access token was issued to, and by telling about a user.
// They may well have roles.
func isIDToken(header map[string]any, claims jwt.MapClaims, scoped bool) bool {
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool { _, there := claims[name]; return there })
	}
	is := func(name, value string) bool {
		s, _ := claims[name].(string)
		return strings.EqualFold(s, value)
	}
	if is("typ", "ID") || is("token_use", "id") || has("at_hash", "c_hash", "s_hash") {
		return true
	}
	if scoped || isAccessToken(header) {
		return false // issuers put a nonce into access tokens as well
	}
	if has("nonce", "auth_time", "amr", "name", "preferred_username", "email", "upn") {
		return true
	}
	return !is("idtyp", "app") && !has("azp", "appid", "client_id", "cid")
}

// isAccessToken reports whether a token's header says that it is one (RFC 9068,
// section 2.1).
func isAccessToken(header map[string]any) bool {
	typ, _ := header["typ"].(string)
	return strings.TrimPrefix(strings.ToLower(typ), "application/") == "at+jwt"
}

// anyOf is nil when one of what was granted is wanted, else ErrForbidden.
func anyOf(wanted, granted []string) error {
	if slices.ContainsFunc(granted, func(s string) bool { return slices.Contains(wanted, s) }) {
		return nil
	}
	return ErrForbidden
}

// words reads a claim that is a list: of strings, or one string with spaces
// between them (RFC 8693, section 4.2). Anything else grants nothing.
func words(claim any) []string {
	switch v := claim.(type) {
	case string:
		return strings.Fields(v)
	case []any:
		var all []string
		for _, item := range v {
			s, ok := item.(string)
			if !ok {
				return nil
			}
			all = append(all, s)
		}
		return all
	}
	return nil
}
