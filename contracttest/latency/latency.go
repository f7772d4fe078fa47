// Package latency measures how slow the machine itself is while a test runs. A
// test that bounds a time adds the baseline to its bound: what the machine is late
// by is no fault of what is tried on it.
package latency

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

const (
	interval = 5 * time.Millisecond  // between two measurements
	first    = 10                    // measurements before Watch returns
	slow     = 10 * time.Millisecond // a measurement that During knows of
	maxSlow  = 10_000                // of which it knows; the first are forgotten
)

// Baseline is the longest time that a request took which nothing but the machine
// could hold up. It is safe for concurrent use, and its zero value has measured nothing.
type Baseline struct {
	mu   sync.Mutex
	max  time.Duration
	slow []measurement
}

type measurement struct{ from, to time.Time }

// Watch measures until the test ends: how late a timer fires, and how long an
// HTTP request to a handler takes that does nothing. It returns when there are
// first results.
func Watch(tb testing.TB) *Baseline {
	tb.Helper()
	b := &Baseline{}
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	web.Config.ErrorLog = log.New(io.Discard, "", 0) // a request that is cut off at the end is no news
	web.Start()
	transport := &http.Transport{}
	client := &http.Client{Transport: transport}
	ctx, stop := context.WithCancel(context.WithoutCancel(tb.Context()))
	ready := make(chan struct{})
	var measuring sync.WaitGroup
	measuring.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			if n == first {
				close(ready)
			}
			began := time.Now()
			if !wait(ctx, interval) {
				return
			}
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, web.URL, nil)
			if err != nil {
				return // cannot happen: the URL is a server's
			}
			if resp, err := client.Do(req); err == nil {
				_ = resp.Body.Close()
			}
			b.Add(began.Add(interval), time.Now())
		}
	})
	tb.Cleanup(func() {
		stop()
		measuring.Wait()
		transport.CloseIdleConnections()
		web.Close()
	})
	<-ready
	return b
}

// Max is the longest measurement so far.
func (b *Baseline) Max() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.max
}

// During is the longest measurement of 10 ms or more that overlaps with a time.
func (b *Baseline) During(from, to time.Time) (longest time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.slow {
		if m.from.Before(to) && m.to.After(from) {
			longest = max(longest, m.to.Sub(m.from))
		}
	}
	return longest
}

// Add adds a measurement.
func (b *Baseline) Add(from, to time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	took := to.Sub(from)
	b.max = max(b.max, took)
	if took < slow {
		return
	}
	if len(b.slow) == maxSlow {
		b.slow = append(b.slow[:0], b.slow[maxSlow/2:]...)
	}
	b.slow = append(b.slow, measurement{from, to})
}

// wait reports whether ctx lasted for d.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
