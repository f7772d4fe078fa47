package auth

import (
	"context"
	"time"
)

// Trace is told of fetches of keys, in the manner of httptrace.ClientTrace. Its
// functions must not block, and may be nil.
type Trace struct {
	// Fetch is called when a fetch begins, with the context of the call that began it.
	// The requests are made with the context that it returns, and done is called at the
	// end with an *UnavailableError, context.Canceled where the Bearer was closed, or nil.
	Fetch func(ctx context.Context) (_ context.Context, done func(error))
	// Failed is called for a call of Verify that fails for want of a key, and for which
	// nothing was fetched: it shares the fetch of another, or the issuer cannot be asked
	// yet.
	Failed func(ctx context.Context, began time.Time, err error)
}

// orNothing replaces what is nil.
func (t Trace) orNothing() Trace {
	if t.Fetch == nil {
		t.Fetch = func(ctx context.Context) (context.Context, func(error)) { return ctx, func(error) {} }
	}
	if t.Failed == nil {
		t.Failed = func(context.Context, time.Time, error) {}
	}
	return t
}
