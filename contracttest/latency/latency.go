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
	interval = 5 * time.Millisecond // between two measurements
	first    = 10                   // measurements before Watch returns
)

// Baseline is the longest time that a request took which nothing but the machine
// could hold up. It is safe for concurrent use.
type Baseline struct {
	mu  sync.Mutex
	max time.Duration
}

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
			b.add(time.Since(began) - interval)
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

func (b *Baseline) add(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.max = max(b.max, d)
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
