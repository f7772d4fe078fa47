package store

import "context"

// awaited is the context of a call that another request waits for.
type awaited struct {
	context.Context
	by context.Context
}

type awaitedKey struct{}

// Value implements context.Context.
func (a awaited) Value(key any) any {
	if key == (awaitedKey{}) {
		return a.by
	}
	return a.Context.Value(key)
}

// Awaited returns the context of a call that belongs to the request of ctx, such as one
// that stores its answer late, while the request of by waits for it and fails if it does.
// Whoever observes a Store shows such a call to both.
func Awaited(ctx, by context.Context) context.Context { return awaited{ctx, by} }

// AwaitedBy returns the context that was given to Awaited, or nil.
func AwaitedBy(ctx context.Context) context.Context {
	by, _ := ctx.Value(awaitedKey{}).(context.Context)
	return by
}
