package server

import (
	"container/list"
	"net/http"
	"sync"
	"time"
)

// places bounds how many answers wait for clients to read them, where nothing else
// does. When all are taken, the one that is held longest is cut off for the next, if
// that is longer than patience: an honest client holds a place for milliseconds, one
// that does not read for as long as it may. So no number of those keeps others out.
// A burst may take four times as many places; beyond that, patience ends.
type places struct {
	limit int

	mu   sync.Mutex
	held list.List // of place, the longest held first
}

type place struct {
	of    *responseWriter
	since time.Time
}

const (
	patience = time.Second
	burst    = 4
)

func newPlaces(limit int) *places { return &places{limit: limit} }

// enter takes a place for an answer. Leave must be called before the handler
// returns, when the answer has been flushed.
func (p *places) enter(w *responseWriter) (leave func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if held := p.held.Len(); held >= p.limit {
		longest := p.held.Front().Value.(place)
		if held >= burst*p.limit || time.Since(longest.since) > patience {
			p.held.Remove(p.held.Front())
			longest.of.cutOff()
		}
	}
	mine := p.held.PushBack(place{w, time.Now()})
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.held.Remove(mine) // nothing, if it was cut off
	}
}

// Bounded gives a handler that is served beside the API the bounds of the API's
// open routes: so many answers at once, and so much time for a client to read each
// part. While the service drains, it too has clients go elsewhere.
func (s *Server) Bounded(h http.Handler, atOnce int) http.Handler {
	p := newPlaces(atOnce)
	return http.HandlerFunc(func(raw http.ResponseWriter, r *http.Request) {
		w := &responseWriter{ResponseWriter: raw, draining: s.cfg.Health.isDraining}
		defer p.enter(w)()
		h.ServeHTTP(steadily{w}, r)
		flush(w)
	})
}
