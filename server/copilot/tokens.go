package copilot

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"sync/atomic"
)

// TokenSource gives the bearer token for a request. Implementations cache.
type TokenSource interface {
	// Token returns a token the agent accepts for id. An error that is not an
	// *Error is reported as ErrToken.
	Token(ctx context.Context, id Identity) (string, error)
}

// TokenRejecter is a TokenSource that wants to hear of tokens that were no good.
type TokenRejecter interface {
	// Reject is called when the agent has answered 401 to a token of id's.
	Reject(id Identity, token string)
}

// StaticToken is a TokenSource that always gives the same token.
type StaticToken string

// Token implements TokenSource.
func (s StaticToken) Token(context.Context, Identity) (string, error) { return string(s), nil }

// WithTokens shows the agent a token of the source in each call. Without one the
// agent is not asked, and the error is of kind ErrToken. It is an agent around the
// agent, so that whoever observes the inner one counts neither the time nor the
// failures of the tokens' issuer as the agent's.
func WithTokens(a Agent, tokens TokenSource) Agent { return &signedIn{a, tokens} }

type signedIn struct {
	agent  Agent
	tokens TokenSource
}

// Start implements Agent.
func (s *signedIn) Start(ctx context.Context, in Start) iter.Seq2[Event, error] {
	return s.ask(ctx, "start", in.Identity, func(shown Identity) iter.Seq2[Event, error] {
		in.Identity = shown
		return s.agent.Start(ctx, in)
	})
}

// Turn implements Agent.
func (s *signedIn) Turn(ctx context.Context, in Turn) iter.Seq2[Event, error] {
	return s.ask(ctx, "turn", in.Identity, func(shown Identity) iter.Seq2[Event, error] {
		in.Identity = shown
		return s.agent.Turn(ctx, in)
	})
}

// ask makes a call with a token, and tells the source if the agent refuses that.
func (s *signedIn) ask(ctx context.Context, op string, id Identity, call func(Identity) iter.Seq2[Event, error]) iter.Seq2[Event, error] {
	var used atomic.Bool
	return func(yield func(Event, error) bool) {
		if used.Swap(true) {
			yield(Event{}, errIteratedTwice(op))
			return
		}
		shown, failed := s.shown(ctx, op, id)
		if failed != nil {
			yield(Event{}, failed)
			return
		}
		for e, err := range call(shown) {
			if refused, ok := errors.AsType[*Error](err); ok && refused.Status == http.StatusUnauthorized {
				if r, ok := s.tokens.(TokenRejecter); ok {
					r.Reject(id, shown.Token)
				}
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// shown is the identity with its token.
func (s *signedIn) shown(ctx context.Context, op string, id Identity) (Identity, *Error) {
	token, err := s.tokens.Token(ctx, id)
	if e, ok := errors.AsType[*Error](err); ok {
		own := *e // the source may keep and repeat its error
		own.Op = op
		return id, &own
	}
	switch {
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		return id, &Error{Op: op, Kind: ErrInterrupted, Cause: context.Canceled}
	case errors.Is(err, context.DeadlineExceeded):
		return id, &Error{Op: op, Kind: ErrToken, Reason: ReasonTimeout, Cause: context.DeadlineExceeded}
	case err != nil:
		return id, &Error{Op: op, Kind: ErrToken, Cause: err}
	case !isToken(token):
		return id, &Error{Op: op, Kind: ErrToken, Reason: ReasonNotUnderstood, Cause: errors.New("token cannot stand in a header")}
	}
	id.Token = token
	return id, nil
}

// isToken reports whether s can stand in a header. The error for one that
// cannot must not repeat it, so it is not left to the transport.
func isToken(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
