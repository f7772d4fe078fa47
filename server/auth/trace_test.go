package auth

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"parley/server/auth/authtest"
)

// Every fetch of keys is told once, and every call that fails without one. What is
// known is not told.
func TestTrace(t *testing.T) {
	type caller struct{}
	var heard []string
	word := func(err error) string {
		if errors.Is(err, ErrUnavailable) {
			return "unavailable"
		}
		return fmt.Sprint(err)
	}
	d := newDesk(t, func(o *Options) {
		o.Trace = Trace{
			Fetch: func(ctx context.Context) (context.Context, func(error)) {
				who := fmt.Sprint(ctx.Value(caller{}))
				return ctx, func(err error) { heard = append(heard, "fetched for "+who+": "+word(err)) }
			},
			Failed: func(ctx context.Context, _ time.Time, err error) {
				heard = append(heard, fmt.Sprint("failed for ", ctx.Value(caller{}), ": ", word(err)))
			},
		}
	})
	show := func(who string, key *authtest.Key) {
		_, _ = d.Verify(context.WithValue(t.Context(), caller{}, who), "Bearer "+key.Token(d.later()))
		d.settled(t)
	}
	if age, known := d.KeysAge(); known {
		t.Errorf("keys that are not there are %v old", age)
	}
	d.issuer.Break(authtest.Down)
	show("ann", d.key)
	show("bob", d.key) // too soon to ask again
	d.issuer.Break(nil)
	d.clock.pass(pauseFailed)
	show("carol", d.key)
	show("dave", d.key) // known
	d.clock.pass(refreshAfter)
	if age, known := d.KeysAge(); age != refreshAfter || !known {
		t.Errorf("the keys are %v old, %v", age, known)
	}
	show("eve", d.key) // known, and asked for again meanwhile
	if age, known := d.KeysAge(); age != 0 || !known {
		t.Errorf("the keys are %v old, %v", age, known)
	}
	want := "[fetched for ann: unavailable failed for bob: unavailable fetched for carol: <nil> fetched for eve: <nil>]"
	if got := fmt.Sprint(heard); got != want {
		t.Errorf("heard %s, want %s", got, want)
	}
}
