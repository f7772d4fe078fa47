package copilot

import (
	"context"
	"errors"
	"io"
	"time"
)

// Why a call was given up.
var (
	errFirstEvent = errors.New("no event in time")
	errIdle       = errors.New("silent for too long")
)

// watch cancels a call when the agent is silent for too long. The clock only
// runs while the client waits for the agent: a caller that takes its time with
// an event does not make the agent late.
type watch struct {
	cancel context.CancelCauseFunc
	idle   time.Duration
	timer  *time.Timer
	left   time.Duration // of the time to the first event
	since  time.Time
	going  bool // the first event has come
}

func newWatch(t Timeouts, cancel context.CancelCauseFunc) *watch {
	w := &watch{cancel: cancel, idle: t.Idle, left: t.FirstEvent}
	w.timer = time.AfterFunc(t.FirstEvent, func() { cancel(errFirstEvent) })
	w.timer.Stop()
	return w
}

// wait is called before the client waits for the agent, done after it.
func (w *watch) wait() {
	if w.going {
		w.timer.Reset(w.idle)
		return
	}
	w.since = time.Now()
	w.timer.Reset(max(0, w.left))
}

func (w *watch) done() {
	w.timer.Stop()
	if !w.going {
		w.left -= time.Since(w.since)
	}
}

// event is called when the first event has come.
func (w *watch) event() {
	if !w.going {
		w.going = true
		w.timer.Stop()
		w.timer = time.AfterFunc(w.idle, func() { w.cancel(errIdle) })
		w.timer.Stop()
	}
}

// watched is a reader under watch.
type watched struct {
	io.Reader
	w *watch
}

// Read implements io.Reader.
func (r watched) Read(p []byte) (int, error) {
	r.w.wait()
	defer r.w.done()
	return r.Reader.Read(p)
}
