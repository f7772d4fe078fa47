package main

import (
	"net/http"
	"sync"
)

// heldAgent is an agent whose answers to turns can be held after some of their
// events, until they are let go.
type heldAgent struct {
	agent http.Handler

	mu      sync.Mutex
	after   int           // events that still pass
	gate    chan struct{} // closed to let go; nil when nothing is held
	waiting int
}

// hold holds, from now on, every answer after that many events. Answers that are held
// go on as far as that.
func (a *heldAgent) hold(after int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gate != nil {
		close(a.gate)
	}
	a.after, a.gate = after, make(chan struct{})
}

// letGo ends hold.
func (a *heldAgent) letGo() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gate != nil {
		close(a.gate)
		a.gate = nil
	}
}

// holding is how many answers wait to be let go.
func (a *heldAgent) holding() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.waiting
}

func (a *heldAgent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if ofTurn.MatchString(r.URL.Path) {
		w = &heldWriter{ResponseWriter: w, a: a, gone: r.Context().Done()}
	}
	a.agent.ServeHTTP(w, r)
}

// heldWriter passes on an answer, whose every Write is one event.
type heldWriter struct {
	http.ResponseWriter
	a      *heldAgent
	gone   <-chan struct{}
	events int
}

func (w *heldWriter) Write(event []byte) (int, error) {
	w.wait()
	w.events++
	return w.ResponseWriter.Write(event)
}

func (w *heldWriter) wait() {
	w.a.mu.Lock()
	defer w.a.mu.Unlock()
	for gone := false; !gone && w.a.gate != nil && w.events >= w.a.after; {
		gate := w.a.gate
		w.a.waiting++
		w.a.mu.Unlock()
		select {
		case <-gate:
		case <-w.gone:
			gone = true
		}
		w.a.mu.Lock()
		w.a.waiting--
	}
}

// Unwrap is for http.ResponseController.
func (w *heldWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
