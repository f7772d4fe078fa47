package turn

import (
	"errors"
	"testing"

	"parley/store"
)

func TestLimiter(t *testing.T) {
	ann, bob := store.Owner{Tenant: "t", User: "ann"}, store.Owner{Tenant: "t", User: "bob"}
	l := newLimiter(3, 2)
	for _, step := range []struct {
		owner store.Owner
		want  error
	}{{ann, nil}, {ann, nil}, {ann, ErrOverloaded}, {bob, nil}, {bob, ErrOverloaded}} {
		if err := l.enter(step.owner); !errors.Is(err, step.want) {
			t.Fatalf("%v: %v, want %v", step.owner, err, step.want)
		}
	}
	l.leave(ann)
	if err := l.enter(bob); err != nil {
		t.Errorf("a turn that ended still counts: %v", err)
	}
	l.leave(ann)
	l.leave(bob)
	empty := l.close()
	if err := l.enter(ann); !errors.Is(err, ErrShuttingDown) {
		t.Errorf("closed: %v", err)
	}
	l.leave(bob)
	<-empty
	if len(l.byOwner) != 0 {
		t.Errorf("remembers %v", l.byOwner)
	}
}
