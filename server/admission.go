package server

import (
	"errors"
	"net/http"
	"strings"

	"parley/server/auth"
	"parley/store"
)

// admission lets callers in.
type admission struct {
	verifier auth.Verifier
	required bool // else whoever shows nothing is the placeholder owner
}

// admit finds out who is asking.
func (a admission) admit(r *http.Request) error {
	x := of(r)
	x.Stage = stageAuth
	// Joined, as RFC 9110, section 5.3 has it, two headers are no token: a proxy
	// may have checked the one, and this service the other.
	header := strings.Join(r.Header.Values("Authorization"), ", ")
	who, err := a.verifier.Verify(r.Context(), header)
	if err == nil && a.required && (who.Tenant == "" || who.User == "") {
		// Half a principal would share its conversations with every other one.
		err = auth.ErrUnauthenticated
	}
	switch {
	case errors.Is(err, auth.ErrUnauthenticated):
		return &requestError{kind: err, header: http.Header{"Www-Authenticate": {challenge(header, err)}}}
	case err != nil:
		return err
	}
	x.Stage = ""
	x.who = who
	x.owner = store.Owner{Tenant: who.Tenant, User: who.User}
	if !a.required {
		if x.owner.Tenant == "" {
			x.owner.Tenant = store.DefaultTenant
		}
		if x.owner.User == "" {
			x.owner.User = store.DefaultUser
		}
	}
	return nil
}

// challenge is what WWW-Authenticate says (RFC 6750, section 3): nothing more to
// somebody who showed no token, else what is wrong with it.
func challenge(header string, err error) string {
	if header == "" {
		return "Bearer"
	}
	if e, ok := errors.AsType[*auth.TokenError](err); ok {
		return `Bearer error="invalid_token", error_description="` + e.Description + `"`
	}
	return `Bearer error="invalid_token"`
}
