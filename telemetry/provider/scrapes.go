package provider

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"time"
)

// scrapePause is between two answers that are written. Who asks within it waits for its
// end.
const scrapePause = 50 * time.Millisecond

// scrapes writes the metrics one at a time, and once for all who ask alike and wait: to
// write them takes a millisecond of a processor and more, and a thousand who ask at once
// would keep everybody else from theirs. Nobody gets metrics from before he asked.
type scrapes struct {
	next http.Handler
	turn chan struct{} // who holds it may use last
	last *scrape
}

// scrape is an answer that was written. Nothing of it changes any more.
type scrape struct {
	began    time.Time
	accepted string // by whom it was asked for
	status   int
	header   http.Header
	body     bytes.Buffer
}

func newScrapes(next http.Handler) *scrapes {
	return &scrapes{next: next, turn: make(chan struct{}, 1)}
}

// ServeHTTP implements http.Handler.
func (s *scrapes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := s.since(time.Now(), r)
	if a == nil {
		return // he has left
	}
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes()) // who left does not want the rest
}

// since gives an answer that was begun after a time, nil if the caller leaves before.
func (s *scrapes) since(asked time.Time, r *http.Request) *scrape {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-r.Context().Done():
		return nil
	}
	accepted := r.Method + "\n" + r.Header.Get("Accept") + "\n" + r.Header.Get("Accept-Encoding") + "\n" + r.URL.RawQuery
	if s.last != nil && s.last.accepted == accepted && s.last.began.After(asked) {
		return s.last
	}
	// Also before another form: a caller can ask for any number of them.
	if s.last != nil && !pass(r.Context(), time.Until(s.last.began.Add(scrapePause))) {
		return nil
	}
	s.last = &scrape{began: time.Now(), accepted: accepted, status: http.StatusOK, header: http.Header{}}
	s.next.ServeHTTP(s.last, r)
	return s.last
}

// pass lets time go by, and reports whether ctx lasted.
func pass(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Header, WriteHeader and Write are for who writes it.

func (a *scrape) Header() http.Header { return a.header }

func (a *scrape) WriteHeader(status int) { a.status = status }

func (a *scrape) Write(b []byte) (int, error) { return a.body.Write(b) }
