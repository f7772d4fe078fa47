package provider

import (
	"bytes"
	"maps"
	"net/http"
	"sync"
	"time"
)

// scrapeAge is how old metrics may be that are served again.
const scrapeAge = time.Second

// scrapes writes the metrics once in scrapeAge for all who ask alike, one at a time:
// to write them takes a millisecond of a processor and more, and a thousand who ask at
// once would keep everybody else from theirs.
type scrapes struct {
	next http.Handler

	mu   sync.Mutex
	last *scrape
}

// scrape is an answer that was written. Nothing of it changes any more.
type scrape struct {
	at       time.Time
	accepted string // by whom it was asked for
	status   int
	header   http.Header
	body     bytes.Buffer
}

// ServeHTTP implements http.Handler.
func (s *scrapes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := s.fresh(r)
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes()) // who left does not want the rest
}

func (s *scrapes) fresh(r *http.Request) *scrape {
	accepted := r.Method + "\n" + r.Header.Get("Accept") + "\n" + r.Header.Get("Accept-Encoding") + "\n" + r.URL.RawQuery
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last != nil && s.last.accepted == accepted && time.Since(s.last.at) < scrapeAge {
		return s.last
	}
	a := &scrape{at: time.Now(), accepted: accepted, status: http.StatusOK, header: http.Header{}}
	s.next.ServeHTTP(a, r)
	s.last = nil
	if a.status == http.StatusOK {
		s.last = a
	}
	return a
}

// Header, WriteHeader and Write are for who writes it.

func (a *scrape) Header() http.Header { return a.header }

func (a *scrape) WriteHeader(status int) { a.status = status }

func (a *scrape) Write(b []byte) (int, error) { return a.body.Write(b) }
