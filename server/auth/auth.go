// Package auth turns a bearer token into a Principal. It knows no HTTP requests
// but its own, for signing keys: reading the header and answering 401 belong to
// package server.
package auth

import (
	"context"
	"errors"
	"time"
)

// Principal is who is asking.
type Principal struct {
	Tenant string
	User   string
	// Token is the verified token itself, for exchange upstream; empty when
	// authentication is off.
	Token string
}

// Why nobody was let in.
var (
	ErrUnauthenticated = errors.New("auth: no valid token")
	ErrForbidden       = errors.New("auth: not allowed")
	ErrUnavailable     = errors.New("auth: signing keys cannot be fetched")
)

// Reason is why a token was refused, as one word for programs. It says nothing that
// the token's bearer cannot read in it.
type Reason string

// The reasons, and no others. A token has the first that applies, in this order.
const (
	ReasonMissing   Reason = "token_missing"       // no Authorization header
	ReasonMalformed Reason = "token_malformed"     // the header holds something other than one bearer token
	ReasonSignature Reason = "signature_invalid"   // not signed with a key of the issuer, in a way that is allowed
	ReasonExpired   Reason = "token_expired"       // claim exp
	ReasonEarly     Reason = "token_not_yet_valid" // claims nbf and iat
	ReasonAudience  Reason = "audience_mismatch"   // claim aud: issued for another service
	ReasonClaims    Reason = "claims_invalid"      // a claim is missing or has another form, such as exp, aud, tid or oid
	ReasonIssuer    Reason = "issuer_mismatch"     // claim iss
	ReasonIDToken   Reason = "id_token"            // an ID token where an access token is required
)

// Reasons are all reasons.
func Reasons() []Reason {
	return []Reason{
		ReasonMissing, ReasonMalformed, ReasonSignature, ReasonExpired, ReasonEarly,
		ReasonAudience, ReasonClaims, ReasonIssuer, ReasonIDToken,
	}
}

// Why a token of the issuer lets nobody in, likewise.
const (
	ReasonTenant Reason = "tenant_not_allowed" // claim tid
	ReasonGrant  Reason = "grant_missing"      // a scope or role that it would need
)

// TokenError is an ErrUnauthenticated that says why.
type TokenError struct {
	Reason Reason
	// Description is for error_description of RFC 6750, section 3: a fixed
	// sentence in plain ASCII without quotes, with nothing of the token in it.
	Description string
}

// Error implements error.
func (e *TokenError) Error() string { return ErrUnauthenticated.Error() + ": " + e.Description }

// Unwrap makes errors.Is(err, ErrUnauthenticated) true.
func (e *TokenError) Unwrap() error { return ErrUnauthenticated }

// ForbiddenError is an ErrForbidden that knows who was turned away: the tenant and
// user of a token whose signature is right. It is for the record only. Of a token that
// is not valid nothing is told, because its content may be made up.
type ForbiddenError struct {
	Tenant, User string
	Reason       Reason // ReasonTenant or ReasonGrant
}

// Error implements error. It names nobody.
func (e *ForbiddenError) Error() string { return ErrForbidden.Error() }

// Unwrap makes errors.Is(err, ErrForbidden) true.
func (e *ForbiddenError) Unwrap() error { return ErrForbidden }

// refused is a TokenError.
func refused(reason Reason, description string) error {
	return &TokenError{Reason: reason, Description: description}
}

// UnavailableError is an ErrUnavailable that says when a repeat may help.
type UnavailableError struct {
	RetryAfter time.Duration // 0 or more
	// Lack is syscall.EMFILE or syscall.ENFILE where the issuer was not asked because this
	// process, or this machine, can open nothing more. Else it is nil.
	Lack error
}

// Error implements error.
func (e *UnavailableError) Error() string { return ErrUnavailable.Error() }

// Unwrap makes errors.Is true of ErrUnavailable, and of Lack.
func (e *UnavailableError) Unwrap() []error { return []error{ErrUnavailable, e.Lack} }

// Verifier decides who is asking. Every error matches one of the three above, or
// is context.Canceled when the caller left before there was an answer.
type Verifier interface {
	// Verify checks the value of the Authorization header, which is empty when
	// the request had none.
	Verify(ctx context.Context, authorization string) (Principal, error)
}

// Anyone is the Verifier of a service that runs with authentication off: every
// request is from the same principal, whatever it claims.
type Anyone Principal

// Verify implements Verifier.
func (a Anyone) Verify(context.Context, string) (Principal, error) { return Principal(a), nil }
