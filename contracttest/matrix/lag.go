package matrix

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// lag watches how late the machine itself is: how long a request takes that
// nothing could hold up. A machine that is busy with something else is late for
// everybody, which is no fault of what is tried on it.
type lag struct {
	mu   sync.Mutex
	most time.Duration
}

// watchLag asks again and again until the test ends.
func watchLag(tb testing.TB) *lag {
	tb.Helper()
	l := &lag{}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	c := client(tb)
	ctx, stop := context.WithCancel(context.WithoutCancel(tb.Context()))
	var asking sync.WaitGroup
	asking.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			began := time.Now()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, web.URL, nil)
			if err != nil {
				return // cannot happen: the URL is a server's
			}
			if resp, err := c.Do(req); err == nil {
				_ = resp.Body.Close()
			}
			l.saw(time.Since(began))
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	tb.Cleanup(func() {
		stop()
		asking.Wait()
		web.Close()
	})
	return l
}

func (l *lag) saw(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.most = max(l.most, d)
}

// late is the most that the machine has been late by so far.
func (l *lag) late() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.most
}
