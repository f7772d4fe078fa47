package turn

import (
	"errors"
	"testing"

	"parley/store"
)

func TestLimiter(t *testing.T) {
	ann, bob := store.Owner{Tenant: "t", User: "ann"}, store.Owner{Tenant: "t", User: "bob"}
	l := NewLimiter(3, 2)
	for _, step := range []struct {
		owner store.Owner
		want  error
	}{{ann, nil}, {ann, nil}, {ann, ErrOverloaded}, {bob, nil}, {bob, ErrOverloaded}} {
		if err := l.Enter(step.owner); !errors.Is(err, step.want) {
			t.Fatalf("%v: %v, want %v", step.owner, err, step.want)
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
