package server

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"parley/server/auth"
	"parley/server/turn"
	"parley/store"
)

// admission decides whether a request is handled, before a byte of its body is read.
// It bounds what one owner can use, so that others have the rest, and what callers
// can use that are not authenticated yet.
type admission struct {
	verifier auth.Verifier
	required bool        // if not, a caller without a token is the placeholder owner
	dev      store.Owner // the placeholder owner

	open      *places             // requests of routes without authentication
	problems  *places             // answers that say why a request failed
	verifying *semaphore.Weighted // requests whose token is being verified
	requests  *turn.Limiter       // requests whose owner is known
	bodies    *semaphore.Weighted // bytes of bodies that are read or worked on
	answers   *semaphore.Weighted // bytes of answers that are written
}

// maxOpenRequests bounds the requests of open routes, and as many answers that say
// why a request failed. They cost little, but each may hold memory for as long as its
// client takes to read.
const maxOpenRequests = 256

// answerWait is how long an answer waits for its share of MaxAnswerBytes.
const answerWait = 2 * time.Second

func newAdmission(cfg *Config) *admission {
	verifying := int64(math.MaxInt)
	if cfg.MaxRequests > 0 {
		verifying = int64(cfg.MaxRequests) + int64(cfg.MaxAuthWaiting)
	}
	return &admission{
		verifier: cfg.Auth, required: cfg.AuthRequired, dev: cfg.DevOwner,
		open: newPlaces(maxOpenRequests), problems: newPlaces(maxOpenRequests),
		verifying: semaphore.NewWeighted(verifying),
		requests:  turn.NewLimiter(cfg.MaxRequests, cfg.MaxRequestsPerOwner, string(reasonRequests), string(reasonRequestsOfUser)),
		bodies:    semaphore.NewWeighted(int64(orUnbounded(cfg.MaxBodyBytes))),
		answers:   semaphore.NewWeighted(int64(orUnbounded(cfg.MaxAnswerBytes))),
	}
}

// orUnbounded turns a setting whose 0 means "no bound" into a bound.
func orUnbounded(n int) int {
	if n == 0 {
		return math.MaxInt
	}
	return n
}

// enter admits a request or returns why not. The caller must call leave at its end.
func (a *admission) enter(rt route, w *responseWriter, r *http.Request) (leave func(), err error) {
	if rt.open {
		return a.open.enter(w), nil
	}
	if !a.verifying.TryAcquire(1) {
		return nil, overloaded(reasonSignIns)
	}
	err = a.identify(r)
	a.verifying.Release(1)
	if err != nil {
		return nil, err
	}
	x := of(r)
	if err := a.requests.Enter(x.owner); err != nil {
		return nil, err
	}
	size := bodySize(r)
	if !a.bodies.TryAcquire(size) {
		a.requests.Leave(x.owner)
		return nil, overloaded(reasonBodies)
	}
	x.reserved = reservation{of: a, body: size}
	return func() {
		x.reserved.releaseBody()
		a.answers.Release(x.reserved.answer)
		a.requests.Leave(x.owner)
	}, nil
}

// reservation is how many bytes are set aside for a request. That of an open route is
// the zero value: nothing is bounded there.
type reservation struct {
	of           *admission
	body, answer int64
}

// releaseBody gives back the bytes of the body, when it is read and decoded. It may be
// called twice.
func (r *reservation) releaseBody() {
	if r.body > 0 {
		r.of.bodies.Release(r.body)
		r.body = 0
	}
}

// forAnswer sets bytes aside for an answer until the request is over, or says that
// there are none.
func (r *reservation) forAnswer(ctx context.Context, n int) error {
	if r.of == nil {
		return nil
	}
	if !r.of.answers.TryAcquire(int64(n)) {
		ctx, cancel := context.WithTimeout(ctx, answerWait)
		defer cancel()
		if r.of.answers.Acquire(ctx, int64(n)) != nil {
			return overloaded(reasonAnswers)
		}
	}
	r.answer += int64(n)
	return nil
}

// overloaded says of what there is too much.
func overloaded(reason Reason) error { return &turn.OverloadedError{Reason: string(reason)} }

// bodySize is how many bytes of a request's body may be read.
func bodySize(r *http.Request) int64 {
	switch {
	case r.Body == nil || r.Body == http.NoBody || r.ContentLength > maxBody: // the last is refused unread
		return 0
	case r.ContentLength >= 0:
		return r.ContentLength
	}
	return maxBody
}

// identify finds out who the caller is.
func (a *admission) identify(r *http.Request) error {
	x := of(r)
	x.Stage = StageAuth
	// Two Authorization headers are joined (RFC 9110, section 5.3), and the result
	// is no valid token. Otherwise a proxy might check one of them and this service
	// the other.
	header := strings.Join(r.Header.Values("Authorization"), ", ")
	who, err := a.verifier.Verify(r.Context(), header)
	if err == nil && a.required && (who.Tenant == "" || who.User == "") {
		// Owners without a user id, or without a tenant, would all be the same owner.
		err = auth.ErrUnauthenticated
	}
	if e, ok := errors.AsType[*auth.ForbiddenError](err); ok {
		x.owner = store.Owner{Tenant: e.Tenant, User: e.User} // so that the log tells who was turned away
	}
	switch {
	case errors.Is(err, auth.ErrUnauthenticated):
		return &requestError{kind: err, header: http.Header{"Www-Authenticate": {challenge(header, err)}}, reason: Reason(signInReason(header, err))}
	case errors.Is(err, auth.ErrForbidden):
		return &requestError{kind: err, reason: forbiddenReason(err)}
	case err != nil:
		return err
	}
	x.Stage = ""
	x.who = who
	x.owner = store.Owner{Tenant: who.Tenant, User: who.User}
	if !a.required {
		if x.owner.Tenant == "" {
			x.owner.Tenant = a.dev.Tenant
		}
		if x.owner.User == "" {
			x.owner.User = a.dev.User
		}
	}
	return nil
}

// challenge is the value of WWW-Authenticate (RFC 6750, section 3): the bare
// scheme when there was no token, else also what is wrong with the token.
func challenge(header string, err error) string {
	if header == "" {
		return "Bearer"
	}
	if e, ok := errors.AsType[*auth.TokenError](err); ok {
		return `Bearer error="invalid_token", error_description="` + e.Description + `"`
	}
	return `Bearer error="invalid_token"`
}

// signInReason is why a caller is not signed in. A verifier that gives no reason is one
// that found no way to read what was shown.
func signInReason(header string, err error) auth.Reason {
	if e, ok := errors.AsType[*auth.TokenError](err); ok {
		return e.Reason
	}
	if header == "" {
		return auth.ReasonMissing
	}
	return auth.ReasonMalformed
}

// forbiddenReason is why a caller may not come in. A verifier that gives no reason has
// not granted it.
func forbiddenReason(err error) Reason {
	if e, ok := errors.AsType[*auth.ForbiddenError](err); ok {
		return Reason(e.Reason)
	}
	return Reason(auth.ReasonGrant)
}
