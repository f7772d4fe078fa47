package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"parley/server"
)

// lastAnswers is how long answers may take to be written when all the time for
// turns is used up.
const lastAnswers = 2 * time.Second

// stop lets running turns finish within their time and closes what is left.
func stop(ctx context.Context, limit time.Duration, api *server.Server, web *http.Server, unused *unusedConns) error {
	began := time.Now()
	turns, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_ = api.Shutdown(turns) // when the time is over, it has recorded the turns it cut off
	unused.close()
	// The answers of those turns have yet to be written, whatever time is left.
	answers, cancel := context.WithTimeout(ctx, max(limit-time.Since(began), lastAnswers))
	defer cancel()
	if err := web.Shutdown(answers); err != nil {
		return errors.Join(web.Close(), fmt.Errorf("SHUTDOWN_TIMEOUT: requests were cut off: %w", err))
	}
	return nil
}

// unusedConns are the connections on which nothing was asked yet. Browsers and
// other clients open some in advance; net/http waits five seconds at shutdown
// for each to ask something after all.
type unusedConns struct {
	mu     sync.Mutex
	conns  map[net.Conn]bool
	closed bool
}

// track is for http.Server.ConnState.
func (u *unusedConns) track(c net.Conn, state http.ConnState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case state != http.StateNew:
		delete(u.conns, c)
	case u.closed:
		_ = c.Close()
	default:
		u.conns[c] = true
	}
}

// close closes them, and all that come later.
func (u *unusedConns) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	for c := range u.conns {
		_ = c.Close()
	}
}

// background runs f until the returned function is called, which waits for it.
func background(ctx context.Context, f func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { f(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}
