//go:build linux

package main

import (
	"context"
	"slices"
	"sync"
	"time"
)

// load is a closed loop: connections that ask again as soon as they are answered.
type load struct {
	callers  []*caller
	requests [][]byte
	holds    string
}

// newLoad connects and prepares a cell's requests.
func newLoad(ctx context.Context, s *subject, c cell) (*load, error) {
	l := &load{callers: make([]*caller, c.Connections), requests: make([][]byte, c.Connections), holds: c.holds}
	err := l.each(func(i int) (err error) {
		if l.callers[i], err = dial(ctx, s.address); err != nil {
			return err
		}
		l.requests[i], err = c.request(s, l.callers[i])
		return err
	})
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// each does something for all connections at once, and gives one of the errors.
func (l *load) each(do func(i int) error) error {
	errs := make([]error, len(l.callers))
	var all sync.WaitGroup
	for i := range l.callers {
		all.Go(func() { errs[i] = do(i) })
	}
	all.Wait()
	return firstOf(errs)
}

// firstOf is one error for many that are most likely the same.
func firstOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// run keeps all connections busy for a time, in which each asks once at least, and gives
// how long each answer took, sorted, and how long all of it took, to the last answer.
func (l *load) run(ctx context.Context, window time.Duration) (took []time.Duration, whole time.Duration, err error) {
	each := make([][]time.Duration, len(l.callers))
	began := time.Now()
	end := began.Add(window)
	err = l.each(func(i int) error {
		for last := time.Now(); ctx.Err() == nil; {
			if err := l.callers[i].call(l.requests[i], l.holds); err != nil {
				return err
			}
			now := time.Now()
			each[i] = append(each[i], now.Sub(last))
			if last = now; !last.Before(end) {
				break
			}
		}
		return ctx.Err()
	})
	whole = time.Since(began)
	took = slices.Concat(each...)
	slices.Sort(took)
	return took, whole, err
}

func (l *load) close() {
	for _, c := range l.callers {
		if c != nil {
			c.close()
		}
	}
}

// quantile of durations that are sorted.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
