package turn

import (
	"sync"

	"parley/store"
)

// limiter bounds how many turns run at once, in all and of one owner, and lets
// Shutdown wait for them.
type limiter struct {
	limit, limitPerOwner int // 0 for no bound

	mu      sync.Mutex
	running int
	byOwner map[store.Owner]int // of those running
	closed  bool
	empty   chan struct{} // closed when the limiter is closed and nothing is running
}

func newLimiter(limit, limitPerOwner int) *limiter {
	return &limiter{limit: limit, limitPerOwner: limitPerOwner, byOwner: map[store.Owner]int{}, empty: make(chan struct{})}
}

// enter admits one turn of an owner, which must leave again, or says why not.
func (l *limiter) enter(o store.Owner) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return ErrShuttingDown
	case l.limit > 0 && l.running >= l.limit, l.limitPerOwner > 0 && l.byOwner[o] >= l.limitPerOwner:
		return ErrOverloaded
	}
	l.running++
	l.byOwner[o]++
	return nil
}

func (l *limiter) leave(o store.Owner) {
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

// close admits nothing any more. The channel it returns is closed when the last
// turn has left.
func (l *limiter) close() <-chan struct{} {
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
