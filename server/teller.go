package server

import (
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// teller writes what a feed has to a stream while the feed's turn runs. It has a
// goroutine only while there is something to write: a stream is silent for most
// of its time, and a stack that waits would be a good part of what it costs.
type teller struct {
	out   *eventStream
	feed  *feed
	alive *time.Timer
	due   atomic.Bool    // a goroutine has started and has not looked at the feed yet
	busy  sync.WaitGroup // those goroutines

	mu   sync.Mutex // held by whoever writes to out
	over bool
}

// newTeller begins to write; stop must be called when the turn is over.
func newTeller(out *eventStream, f *feed) *teller {
	t := &teller{out: out, feed: f}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.alive = time.AfterFunc(keepAlive, t.keepAlive)
	f.listen(t.wake) // until the feed ends
	return t
}

// stop returns when everything that the feed has is written, or the client is gone.
func (t *teller) stop() {
	t.busy.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	t.alive.Stop()
}

// wake is called at every change of the feed. However many come while a slow
// client takes what came before, one goroutine waits to write them all.
func (t *teller) wake() {
	if !t.due.Swap(true) {
		t.busy.Go(t.write)
	}
}

func (t *teller) write() {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.contain()
	t.due.Store(false)
	if t.out.err != nil {
		return
	}
	if wrote, _ := t.out.take(t.feed); wrote {
		t.alive.Reset(keepAlive)
	}
}

func (t *teller) keepAlive() {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.contain()
	if t.over || t.out.err != nil {
		return
	}
	t.out.send([]byte(keepAliveComment))
	t.alive.Reset(keepAlive)
}

// contain makes a panic the stream's end: on a goroutine beside the request's it
// would be the process's.
func (t *teller) contain() {
	if v := recover(); v != nil {
		t.out.err = &panicError{value: v, stack: debug.Stack()}
	}
}
