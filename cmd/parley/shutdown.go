package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Once SHUTDOWN_TIMEOUT is over, the rest of the shutdown has its limits, counted
// from then. With the last one over, the process ends whatever still hangs.
const (
	recordedBy = 750 * time.Millisecond  // turns that were ended are recorded, or their calls are cut off
	answeredBy = 1250 * time.Millisecond // the last answers are written, or their connections are cut off
	closedBy   = 1400 * time.Millisecond // the parts are closed
	flushedBy  = 1800 * time.Millisecond // telemetry is sent, and the log written 100 ms later
)

// How long closing and flushing may take in any case: with nothing to wait for, a
// part that hangs must not use up the whole of SHUTDOWN_TIMEOUT.
const (
	closeTime = 2 * time.Second
	flushTime = 5 * time.Second
)

// shutdown lets running turns finish within SHUTDOWN_TIMEOUT, ends those that do
// not, and closes everything; the functions given end what runs in the background.
// It returns less than two seconds after that time, whatever hangs. Its error
// says what had failed before and what was cut off, and the log has it too.
func (s *service) shutdown(ctx context.Context, failed error, background ...func()) error {
	over := time.Now().Add(s.config.shutdownTimeout)
	by := func(d time.Duration) (context.Context, context.CancelFunc) {
		return context.WithDeadline(ctx, over.Add(d))
	}

	drain, cancel := by(0)
	defer cancel()
	recorded, cancel := by(recordedBy)
	defer cancel()
	// When the time is over, it records the turns that it ended.
	err := finish(recorded, func() { _ = s.api.Shutdown(drain) })

	// Closing the store also ends the calls that turns still wait for.
	closing := make(chan error, 1)
	closeStore := sync.OnceFunc(func() { go func() { closing <- s.store.Close() }() })
	if err != nil {
		closeStore()
	}
	s.conns.closeUnused()
	answered, cancel := by(answeredBy)
	defer cancel()
	errs := []error{failed}
	if err := s.web.Shutdown(answered); err != nil {
		errs = append(errs, s.web.Close(), fmt.Errorf("SHUTDOWN_TIMEOUT: requests were cut off: %w", err))
	}

	closed, cancel := by(closedBy)
	defer cancel()
	closed, cancel = context.WithTimeout(closed, closeTime)
	defer cancel()
	closeStore()
	err = finish(closed, func() {
		var parts sync.WaitGroup
		for _, end := range append(background, s.auth.close, s.agent.close) {
			parts.Go(end)
		}
		parts.Wait()
	})
	if err != nil {
		errs = append(errs, errors.New("SHUTDOWN_TIMEOUT: background work was cut off"))
	}
	select {
	case err := <-closing:
		errs = append(errs, err)
	case <-closed.Done():
		errs = append(errs, errors.New("SHUTDOWN_TIMEOUT: the store could not be closed"))
	}
	err = errors.Join(errs...)
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "the service did not end as it should", slog.String("error", err.Error()))
	}
	flushed, cancel := by(flushedBy)
	defer cancel()
	s.flush(flushed)
	return err
}

// flush sends what telemetry has left and ends the log. What the collector does not
// take in time is lost, and the log says so.
func (s *service) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, flushTime)
	defer cancel()
	s.provider.Shutdown(ctx)
}

// discard closes the parts of a service that never ran.
func (s *service) discard(ctx context.Context) {
	if s.auth.close != nil {
		s.auth.close()
	}
	if s.agent.close != nil {
		s.agent.close()
	}
	if s.store.Store != nil {
		_ = s.store.Close()
	}
	if s.provider != nil {
		s.flush(context.WithoutCancel(ctx))
	}
}

// finish runs f and waits for it until ctx is done, which is the error. What
// hangs for longer is left to the end of the process.
func finish(ctx context.Context, f func()) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		select {
		case <-done: // both are: it has finished
		default:
			return ctx.Err()
		}
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
