package server

import (
	"sync"
	"sync/atomic"
	"time"

	"parley/server/turn"
)

// streamWriter writes what a feed has to a stream while the feed's turn runs, and
// keeps the stream alive while it is silent.
//
// It has a goroutine only while there is something to write. A stream is silent
// for most of its time: without the goroutines that waited beside each turn, a
// silent stream over HTTP/1.1 went from 70 to 55 KB (TestIdleStreams).
type streamWriter struct {
	out   *eventStream
	feed  *turn.Feed
	leave func() // the feed's listeners
	alive *time.Timer
	due   atomic.Bool    // a goroutine has started and has not looked at the feed yet
	busy  sync.WaitGroup // those goroutines

	mu   sync.Mutex // held by whoever writes to out
	over bool       // nothing may be written any more
}

// newStreamWriter begins to write what f has, and goes on until stop is called,
// which the caller must do before it uses out again.
func newStreamWriter(out *eventStream, f *turn.Feed) *streamWriter {
	w := &streamWriter{out: out, feed: f}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.alive = time.AfterFunc(keepAlive, w.keepAlive)
	w.leave = f.Listen(w.wake)
	w.wake() // what the feed has already
	return w
}

// stop returns when everything that the feed has is written, or the client is gone.
func (w *streamWriter) stop() {
	w.leave()
	w.busy.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end()
}

// end says that nothing is written any more. It is called with the lock held.
func (w *streamWriter) end() {
	w.over = true
	w.alive.Stop()
}

// wake is called at every change of the feed. However many come while a slow
// client takes what came before, one goroutine waits to write them all.
func (w *streamWriter) wake() {
	if !w.due.Swap(true) {
		w.busy.Go(w.write)
	}
}

func (w *streamWriter) write() {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.contain()
	w.due.Store(false)
	if w.over {
		return
	}
	wrote, over := w.out.take(w.feed)
	switch {
	case over || w.out.err != nil:
		w.end()
	case wrote:
		w.alive.Reset(keepAlive)
	}
}

func (w *streamWriter) keepAlive() {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.contain()
	if w.over {
		return
	}
	w.out.send([]byte(keepAliveComment))
	if w.out.err != nil {
		w.end()
		return
	}
	w.alive.Reset(keepAlive)
}

// contain makes a panic the stream's end: on a goroutine beside the request's it
// would be the process's. It is deferred with the lock held.
func (w *streamWriter) contain() {
	if v := recover(); v != nil {
		w.out.err = turn.NewPanicError(v)
		w.end()
	}
}
