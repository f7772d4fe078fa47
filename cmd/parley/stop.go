package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"parley/server"
)

// lastAnswers is how long answers may take to be written when all the time for
// turns is used up.
const lastAnswers = 2 * time.Second

// stop lets running turns finish within their time and closes what is left.
func stop(ctx context.Context, limit time.Duration, api *server.Server, web *http.Server, conns *connections) error {
	began := time.Now()
	turns, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_ = api.Shutdown(turns) // when the time is over, it has recorded the turns it cut off
	conns.closeUnused()
	// The answers of those turns have yet to be written, whatever time is left.
	answers, cancel := context.WithTimeout(ctx, max(limit-time.Since(began), lastAnswers))
	defer cancel()
	if err := web.Shutdown(answers); err != nil {
		return errors.Join(web.Close(), fmt.Errorf("SHUTDOWN_TIMEOUT: requests were cut off: %w", err))
	}
	return nil
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
