package provider

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of a LineQueue: what waits and what is being written, together. A line of
// a request has about 400 bytes.
const (
	MaxQueuedLines = 10_000
	MaxQueuedBytes = 4 << 20
)

// maxIdleBuffer is the most memory, in bytes, that a buffer keeps when its lines are
// written. More is given back after a burst.
const maxIdleBuffer = 64 << 10

// LineQueue writes lines to a writer that may hang, such as a pipe nobody reads, or
// may fail. Write never waits for it: one goroutine does all the writing, and a line
// that finds no room is dropped and counted. Lines that the writer refuses are
// counted as dropped too. When it takes lines again, one line says how many were
// dropped.
//
// It is safe for use from many goroutines. Close must be called to end it.
type LineQueue struct {
	out     io.Writer
	reports slog.Handler // writes to out
	dropped atomic.Int64
	wake    chan struct{} // holds one: look again
	ended   chan struct{} // closed when nothing will be written any more

	mu      sync.Mutex
	waiting lineBuffer
	writing lineBuffer
	lost    int64 // dropped since they were last reported
	closed  bool
}

// lineBuffer is a number of lines.
type lineBuffer struct {
	bytes []byte
	lines int
}

// reset empties the buffer and keeps its memory, unless that is much.
func (b lineBuffer) reset() lineBuffer {
	if cap(b.bytes) > maxIdleBuffer {
		return lineBuffer{}
	}
	return lineBuffer{bytes: b.bytes[:0]}
}

// NewLineQueue begins to write to out, which nobody else should write to.
func NewLineQueue(out io.Writer) *LineQueue {
	q := &LineQueue{out: out, reports: slog.NewJSONHandler(out, nil), wake: make(chan struct{}, 1), ended: make(chan struct{})}
	go q.work() // ends with Close
	return q
}

// Write implements io.Writer. P is taken as one line. It always succeeds.
func (q *LineQueue) Write(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.waiting.lines+q.writing.lines >= MaxQueuedLines || len(q.waiting.bytes)+len(q.writing.bytes)+len(p) > MaxQueuedBytes {
		q.lost++
		q.dropped.Add(1)
		return len(p), nil
	}
	q.waiting.bytes = append(q.waiting.bytes, p...)
	q.waiting.lines++
	q.notify()
	return len(p), nil
}

// Dropped is how many lines were dropped so far.
func (q *LineQueue) Dropped() int64 { return q.dropped.Load() }

// Close takes no more lines and waits until those that wait are written, or ctx is
// done. Then the goroutine that hangs in the writer is left to it.
func (q *LineQueue) Close(ctx context.Context) error {
	q.mu.Lock()
	q.closed = true
	q.notify()
	q.mu.Unlock()
	select {
	case <-q.ended:
		return nil
	case <-ctx.Done():
		return errors.New("provider: lines of the log could not be written in time")
	}
}

func (q *LineQueue) notify() {
	select {
	case q.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// work writes until the queue is closed and empty.
func (q *LineQueue) work() {
	defer close(q.ended)
	var unreported int64
	for {
		batch, lost, more := q.take()
		if !more {
			return
		}
		unreported += lost
		if n, err := q.out.Write(batch); err != nil {
			refused := int64(bytes.Count(batch[min(n, len(batch)):], []byte("\n")))
			q.dropped.Add(refused)
			unreported += refused
		} else if unreported > 0 && q.report(unreported) == nil {
			unreported = 0
		}
	}
}

// take waits for lines and returns all that wait, and how many were dropped behind
// them. More is false when there will be none.
func (q *LineQueue) take() (batch []byte, lost int64, more bool) {
	for {
		q.mu.Lock()
		q.writing, q.waiting = q.waiting, q.writing.reset()
		batch, lost, q.lost = q.writing.bytes, q.lost, 0
		closed := q.closed
		q.mu.Unlock()
		if len(batch) > 0 {
			return batch, lost, true
		}
		if closed {
			return nil, 0, false
		}
		<-q.wake
	}
}

// report says how many lines are missing before this one.
func (q *LineQueue) report(lines int64) error {
	r := slog.NewRecord(time.Now(), slog.LevelWarn, "log lines were dropped", 0)
	r.AddAttrs(slog.Int64("lines", lines))
	return q.reports.Handle(context.Background(), r)
}
