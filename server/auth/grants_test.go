package auth

import (
	"errors"
	"testing"

	"parley/server/auth/authtest"
)

// A token comes in by what it was granted, not only by who issued it and for whom.
func TestGrants(t *testing.T) {
	key := authtest.NewEC(t, "ec-1")
	issuer := authtest.NewIssuer(t, key)
	user, app, id := issuer.Claims().With("scp", nil), issuer.AppClaims(), issuer.IDClaims()
	const in, forbidden, refused = "in", "forbidden", "refused"
	type row struct {
		claims authtest.Object
		// what comes of it with nothing configured, with scopes "s" and "t", with
		// roles "r" and "q", and with all of them
		open, scopes, roles, both string
	}
	for name, c := range map[string]row{
		"scope":                  {user.With("scp", "s"), in, in, forbidden, in},
		"second of many":         {user.With("scp", "a t b"), in, in, forbidden, in},
		"list of scopes":         {user.With("scp", []string{"a", "s"}), in, in, forbidden, in},
		"by the standard's name": {user.With("scope", "a s"), in, in, forbidden, in},
		"scp wins over scope":    {user.With("scp", "a").With("scope", "s"), in, forbidden, forbidden, forbidden},
		"another scope":          {user.With("scp", "other"), in, forbidden, forbidden, forbidden},
		"part of a scope":        {user.With("scp", "ss s.x"), in, forbidden, forbidden, forbidden},
		"scope in another case":  {user.With("scp", "S"), in, forbidden, forbidden, forbidden},
		"scopes with commas":     {user.With("scp", "s,t"), in, forbidden, forbidden, forbidden},
		"scope and role":         {user.With("scp", "s").With("roles", []string{"r"}), in, in, in, in},
		"role of a user":         {user.With("scp", "other").With("roles", []string{"x", "q"}), in, forbidden, in, forbidden},
		"role as one string":     {user.With("scp", "other").With("roles", "r"), in, forbidden, in, forbidden},
		"roles with a number":    {user.With("scp", "other").With("roles", []any{"r", 1}), in, forbidden, forbidden, forbidden},
		"role for a scope":       {user.With("scp", "r"), in, forbidden, forbidden, forbidden},
		"scope for a role":       {user.With("scp", "other").With("roles", []string{"s"}), in, forbidden, forbidden, forbidden},
		"nonce beside a scope":   {user.With("scp", "s").With("nonce", "n"), in, in, forbidden, in},

		"app with the role":       {app.With("roles", []string{"r"}), forbidden, forbidden, in, in},
		"app with another":        {app.With("roles", []string{"x"}), forbidden, forbidden, forbidden, forbidden},
		"app without roles":       {app.With("roles", nil), forbidden, forbidden, forbidden, forbidden},
		"app, roles no list":      {app.With("roles", map[string]string{"r": "r"}), forbidden, forbidden, forbidden, forbidden},
		"app with a scope":        {app.With("scp", "s"), forbidden, forbidden, forbidden, forbidden},
		"app, scope and role":     {app.With("scp", "s").With("roles", []string{"r"}), forbidden, forbidden, in, in},
		"app by lack of scope":    {app.With("idtyp", nil).With("roles", []string{"r"}), forbidden, forbidden, in, in},
		"app of version 1":        {app.With("idtyp", nil).With("azp", nil).With("appid", "a").With("roles", []string{"r"}), forbidden, forbidden, in, in},
		"no scope, no kind":       {app.With("idtyp", nil), forbidden, forbidden, forbidden, forbidden},
		"scope of only spaces":    {app.With("idtyp", nil).With("scp", "  "), forbidden, forbidden, forbidden, forbidden},
		"scope that is no scope":  {app.With("idtyp", nil).With("scp", 7), forbidden, forbidden, forbidden, forbidden},
		"app that names no other": {app.With("azp", nil).With("roles", []string{"r"}), forbidden, forbidden, in, in},

		"ID token":             {id, refused, refused, refused, refused},
		"ID token with a role": {id.With("nonce", nil).With("roles", []string{"r"}), refused, refused, refused, refused},
		"ID token, bare":       {id.With("nonce", nil).With("name", nil).With("roles", []string{"r"}), refused, refused, refused, refused},
		"ID token, its client": {id.With("nonce", nil).With("azp", authtest.ClientID).With("roles", []string{"r"}), refused, refused, refused, refused},
		"ID token, hybrid":     {user.With("scp", "s").With("c_hash", "x"), refused, refused, refused, refused},
		"ID token by its kind": {user.With("scp", "s").With("typ", "id"), refused, refused, refused, refused},
		"ID token by its use":  {user.With("scp", "s").With("token_use", "id"), refused, refused, refused, refused},
	} {
		for _, with := range []struct {
			what          string
			scopes, roles []string
			want          string
		}{
			{"nothing", nil, nil, c.open},
			{"scopes", []string{"s", "t"}, nil, c.scopes},
			{"roles", nil, []string{"r", "q"}, c.roles},
			{"both", []string{"s", "t"}, []string{"r", "q"}, c.both},
		} {
			d := newDeskAt(t, issuer, func(o *Options) { o.Scopes, o.Roles = with.scopes, with.roles })
			_, err := d.show(t, key.Token(c.claims))
			got := in
			if refusal, ok := errors.AsType[*TokenError](err); ok && refusal.Description == idTokenShown {
				got = refused
			} else if errors.Is(err, ErrForbidden) {
				got = forbidden
			} else if err != nil {
				got = err.Error()
			}
			if got != with.want {
				t.Errorf("%s, with %s configured: %s, want %s", name, with.what, got, with.want)
			}
		}
	}
}

// A token that says in its header that it is an access token needs no other sign.
func TestAccessTokenByItsHeader(t *testing.T) {
	d := newDesk(t)
	claims := d.issuer.IDClaims().With("roles", []string{authtest.Role})
	for _, typ := range []string{"at+jwt", "AT+JWT", "application/at+jwt"} {
		token := authtest.Token(d.key.Header().With("typ", typ), claims, d.key.Sign)
		if _, err := d.show(t, token); err != nil {
			t.Errorf("%s: %v", typ, err)
		}
	}
}
