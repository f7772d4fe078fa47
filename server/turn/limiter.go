package turn

import (
	"sync"

	"parley/store"
)

// OverloadedError is an ErrOverloaded that says of what there is too much.
type OverloadedError struct{ Reason string } // one word for programs

// The reasons of this package.
const (
	ReasonTurns       = "too_many_turns"
	ReasonTurnsOfUser = "too_many_turns_of_user"
	ReasonReaders     = "too_many_readers" // of one turn
)

// Error implements error.
func (e *OverloadedError) Error() string { return ErrOverloaded.Error() + ": " + e.Reason }

// Unwrap makes errors.Is(err, ErrOverloaded) true.
func (e *OverloadedError) Unwrap() error { return ErrOverloaded }

// Limiter bounds how many things run at once, in total and per owner, so that no owner
// uses what others need. It also reports when nothing runs any more. It is safe for
// use from many goroutines.
type Limiter struct {
	limit, limitPerOwner int // 0 for no bound
	all, ofOwner         error

	mu      sync.Mutex
	running int
	byOwner map[store.Owner]int // of those running
	closed  bool
	empty   chan struct{} // closed when the limiter is closed and nothing is running
}

// NewLimiter makes a Limiter; 0 stands for no bound. What it refuses has one of the two
// reasons.
func NewLimiter(limit, limitPerOwner int, all, ofOwner string) *Limiter {
	return &Limiter{limit: limit, limitPerOwner: limitPerOwner, all: &OverloadedError{all}, ofOwner: &OverloadedError{ofOwner}, byOwner: map[store.Owner]int{}, empty: make(chan struct{})}
}

// Enter admits one thing of an owner, which must Leave again, or returns why not:
// an *OverloadedError, or ErrShuttingDown after Close.
func (l *Limiter) Enter(o store.Owner) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return ErrShuttingDown
	case l.limitPerOwner > 0 && l.byOwner[o] >= l.limitPerOwner:
		return l.ofOwner // also where all is full: then that owner is why
	case l.limit > 0 && l.running >= l.limit:
		return l.all
	}
	l.running++
	l.byOwner[o]++
	return nil
}

// Leave ends what Enter admitted.
func (l *Limiter) Leave(o store.Owner) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	if l.byOwner[o]--; l.byOwner[o] == 0 {
		delete(l.byOwner, o)
	}
	if l.closed && l.running == 0 {
		close(l.empty)
	}
}

// Close refuses everything from now on. The returned channel is closed when the last
// thing that was admitted has left.
func (l *Limiter) Close() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		if l.running == 0 {
			close(l.empty)
		}
	}
	return l.empty
}
