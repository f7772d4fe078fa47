package turn

import (
	"errors"
	"testing"

	"parley/server/copilot"
)

// A turn that failed for want of a token failed at that stage, here or at another
// instance, of which only the class is known.
func TestStageOfToken(t *testing.T) {
	r := &Runner{cfg: Config{Class: func(err error) string {
		if errors.Is(err, copilot.ErrToken) {
			return "token_unavailable"
		}
		return "upstream_error"
	}}}
	for _, c := range []struct {
		err  error
		want Stage
	}{
		{&copilot.Error{Kind: copilot.ErrToken}, StageToken},
		{&RelayedError{"token_unavailable"}, StageToken},
		{&copilot.Error{Kind: copilot.ErrServer}, StageUpstream},
		{&RelayedError{"upstream_error"}, StageUpstream},
		{ErrAbandoned, StageUpstream},
	} {
		if got := r.askedStage(c.err); got != c.want {
			t.Errorf("%v: %s, want %s", c.err, got, c.want)
		}
	}
}
