package entra

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// When tokens are fetched.
const (
	// fetchLimit bounds one fetch. Nobody waits for it.
	fetchLimit = 10 * time.Second
	// firstPause follows a failed fetch. It doubles with each failure in a row, up to
	// longestPause, or to an eighth of what the token still has to live if that is
	// less, but not to less than urgentPause. Without a valid token every call fails.
	firstPause   = 250 * time.Millisecond
	urgentPause  = 500 * time.Millisecond
	longestPause = 30 * time.Second
	// longestWait bounds what an issuer may ask for in Retry-After.
	longestWait = 30 * time.Second
	// skew is how much of its life a token is not used for at the end, at most: the
	// clock of Redis may be ahead of the issuer's. It is never more than a twentieth.
	skew = 30 * time.Second
)

// run fetches for ever: the next token at half of the life of the last, and sooner
// after a failure.
func (s *Source) run(life context.Context) {
	var pause time.Duration // after the last failure; 0 after a success
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-life.Done():
			return
		}
		got, err := s.attempt(life)
		if life.Err() != nil {
			return
		}
		if err == nil {
			pause = 0
			s.keep(got)
			timer.Reset(vary(max(s.left()/2, firstPause)))
			continue
		}
		s.refuse(err)
		pause = min(max(2*pause, firstPause), min(max(s.left()/8, urgentPause), longestPause))
		wait := pause
		if f, ok := errors.AsType[*failed](err); ok {
			wait = max(wait, min(f.wait, longestWait))
		}
		timer.Reset(vary(wait))
	}
}

// attempt fetches once. What it returns is valid.
func (s *Source) attempt(life context.Context) (token, error) {
	ctx, cancel := context.WithTimeout(life, fetchLimit)
	defer cancel()
	ctx, done := s.begun(ctx)
	got, err := s.valid(ctx)
	switch {
	case err == nil:
		done(nil)
	case life.Err() != nil:
		done(context.Canceled)
	default:
		done(outage(err))
	}
	return got, err
}

// valid fetches a token and looks at it.
func (s *Source) valid(ctx context.Context) (token, error) {
	got, err := s.fetch(ctx)
	if err != nil {
		return token{}, err
	}
	// The end comes as a time of day. What is left of it does not change when
	// somebody sets the clock.
	now := time.Now()
	left := got.expires.Round(0).Sub(now)
	got.expires = now.Add(left - min(skew, left/20))
	if left <= 0 {
		return token{}, &failed{reason: "the token that came has expired"}
	}
	if got.secret == "" {
		return token{}, &failed{reason: "the answer of the token source holds no token"}
	}
	if got.user = s.objectID; got.user == "" {
		if got.user = objectID(got.secret); got.user == "" {
			return token{}, &failed{reason: "the token names no object id (claim oid)"}
		}
	}
	return got, nil
}

// keep uses a token, unless it is the one in use or does not live longer: a machine's
// identity service answers with the same token for hours.
func (s *Source) keep(got token) {
	if t := s.current.Load(); t == nil || got.secret != t.secret && got.expires.After(t.expires) {
		s.current.Store(&got)
	}
	if s.refused.Swap(nil) != nil {
		s.told(Event{Left: s.left()})
	}
}

// refuse notes why there is no new token.
func (s *Source) refuse(err error) {
	o := outage(err)
	if s.refused.Swap(o) == nil {
		s.told(Event{Err: o, Left: s.left()})
	}
}

// left is how long the token in use is good.
func (s *Source) left() time.Duration {
	t := s.current.Load()
	if t == nil {
		return 0
	}
	return max(0, time.Until(t.expires))
}

// vary makes a pause up to a fifth shorter or longer, so that the instances of a
// service do not ask all at once.
func vary(d time.Duration) time.Duration {
	return d - d/5 + rand.N(2*d/5+1) //nolint:gosec // nobody gains by guessing it
}
