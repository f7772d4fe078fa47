package turn

import (
	"errors"
	"testing"

	"parley/store"
)

func TestLimiter(t *testing.T) {
	ann, bob := store.Owner{Tenant: "t", User: "ann"}, store.Owner{Tenant: "t", User: "bob"}
	l := NewLimiter(3, 2, "all", "one")
	for _, step := range []struct {
		owner  store.Owner
		want   error
		reason string
	}{{ann, nil, ""}, {ann, nil, ""}, {ann, ErrOverloaded, "one"}, {bob, nil, ""}, {bob, ErrOverloaded, "all"}, {ann, ErrOverloaded, "one"}} {
		err := l.Enter(step.owner)
		if e, ok := errors.AsType[*OverloadedError](err); !errors.Is(err, step.want) || ok != (step.reason != "") || ok && e.Reason != step.reason {
			t.Fatalf("%v: %v, want %v for %q", step.owner, err, step.want, step.reason)
		}
	}
	l.Leave(ann)
	if err := l.Enter(bob); err != nil {
		t.Errorf("a turn that ended still counts: %v", err)
	}
	l.Leave(ann)
	l.Leave(bob)
	empty := l.Close()
	if err := l.Enter(ann); !errors.Is(err, ErrShuttingDown) {
		t.Errorf("closed: %v", err)
	}
	l.Leave(bob)
	<-empty
	if len(l.byOwner) != 0 {
		t.Errorf("remembers %v", l.byOwner)
	}
}
