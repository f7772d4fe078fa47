package copilot

import (
	"context"
	"io"
	"time"
)

// limitError is why a call was given up: the agent was silent for longer than a limit
// of the client. It is the cause of the request's context, and a deadline like that of
// the caller: which of them was first must not matter to whoever looks at the cause.
type limitError string

const (
	errFirstEvent limitError = "no event in time"
	errIdle       limitError = "silent for too long"
)

// Error implements error.
func (e limitError) Error() string { return string(e) }

// Unwrap makes it a deadline.
func (limitError) Unwrap() error { return context.DeadlineExceeded }

// idleTimer cancels a call when the agent is silent for too long. The clock only
// runs while the client waits for the agent: a caller that takes its time with
// an event does not make the agent late.
type idleTimer struct {
	cancel context.CancelCauseFunc
	idle   time.Duration
	timer  *time.Timer   // nil until it is needed: a limit may be none
	left   time.Duration // of the time to the first event
	since  time.Time
	going  bool // the first event has come
}

func newIdleTimer(t Timeouts, cancel context.CancelCauseFunc) *idleTimer {
	return &idleTimer{cancel: cancel, idle: t.Idle, left: t.FirstEvent}
}

// wait is called before the client waits for the agent, done after it.
func (s *idleTimer) wait() {
	limit, why := s.idle, errIdle
	if !s.going {
		s.since = time.Now()
		limit, why = max(0, s.left), errFirstEvent
	}
	switch {
	case limit == NoLimit:
	case s.timer == nil:
		s.timer = time.AfterFunc(limit, func() { s.cancel(why) })
	default:
		s.timer.Reset(limit)
	}
}

func (s *idleTimer) done() {
	if s.timer != nil {
		s.timer.Stop()
	}
	if !s.going && s.left != NoLimit {
		s.left -= time.Since(s.since)
	}
}

// event is called when the first event has come.
func (s *idleTimer) event() {
	if !s.going {
		s.going, s.timer = true, nil // the next has another reason
	}
}

// timedReader is a body whose reads count as waiting for the agent.
type timedReader struct {
	io.Reader
	idle *idleTimer
}

// Read implements io.Reader.
func (r timedReader) Read(p []byte) (int, error) {
	r.idle.wait()
	defer r.idle.done()
	return r.Reader.Read(p)
}
