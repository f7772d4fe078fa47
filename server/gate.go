package server

import "sync"

// gate bounds how many turns run at once and lets Shutdown wait for them.
type gate struct {
	limit int // 0 for no bound

	mu     sync.Mutex
	inside int
	closed bool
	empty  chan struct{} // closed when the gate is closed and nobody is inside
}

func newGate(limit int) *gate { return &gate{limit: limit, empty: make(chan struct{})} }

// enter admits one turn, which must leave again, or says why not.
func (g *gate) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return ErrShuttingDown
	case g.limit > 0 && g.inside >= g.limit:
		return ErrOverloaded
	}
	g.inside++
	return nil
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
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
