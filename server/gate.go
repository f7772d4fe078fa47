package server

import (
	"sync"

	"parley/store"
)

// gate bounds how many turns run at once, in all and of one owner, and lets
// Shutdown wait for them.
type gate struct {
	limit, share int // 0 for no bound

	mu     sync.Mutex
	inside int
	of     map[store.Owner]int // of those inside
	closed bool
	empty  chan struct{} // closed when the gate is closed and nobody is inside
}

func newGate(limit, share int) *gate {
	return &gate{limit: limit, share: share, of: map[store.Owner]int{}, empty: make(chan struct{})}
}

// enter admits one turn of an owner, which must leave again, or says why not.
func (g *gate) enter(o store.Owner) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return ErrShuttingDown
	case g.limit > 0 && g.inside >= g.limit, g.share > 0 && g.of[o] >= g.share:
		return ErrOverloaded
	}
	g.inside++
	g.of[o]++
	return nil
}

func (g *gate) leave(o store.Owner) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.of[o]--; g.of[o] == 0 {
		delete(g.of, o)
	}
	if g.closed && g.inside == 0 {
		close(g.empty)
	}
}

// close admits nobody any more. The channel it returns is closed when the last
// turn has left.
func (g *gate) close() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.closed = true
		if g.inside == 0 {
			close(g.empty)
		}
	}
	return g.empty
}
