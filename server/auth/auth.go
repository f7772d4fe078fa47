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

// TokenError is an ErrUnauthenticated that may say why.
type TokenError struct {
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
type ForbiddenError struct{ Tenant, User string }

// Error implements error. It names nobody.
func (e *ForbiddenError) Error() string { return ErrForbidden.Error() }

// Unwrap makes errors.Is(err, ErrForbidden) true.
func (e *ForbiddenError) Unwrap() error { return ErrForbidden }

// refused is a TokenError.
func refused(description string) error { return &TokenError{Description: description} }

// UnavailableError is an ErrUnavailable that says when a repeat may help.
type UnavailableError struct {
	RetryAfter time.Duration // 0 or more
}

// Error implements error.
func (e *UnavailableError) Error() string { return ErrUnavailable.Error() }

// Unwrap makes errors.Is(err, ErrUnavailable) true.
func (e *UnavailableError) Unwrap() error { return ErrUnavailable }

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
