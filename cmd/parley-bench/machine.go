//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"
)

// What a machine may be that is quiet enough to judge by.
const (
	// mostOthers is the share of all processors that others may take while something is
	// measured, in any round.
	mostOthers = 0.05
	// mostSlower is how much slower than at its fastest the machine may be at counting,
	// before any round: others on the same host, or a processor that was slowed down.
	mostSlower = 1.15
)

// usage is processor time so far: of everything, and of what is measured; and wall is
// the time that has passed.
type usage struct{ wall, all, own time.Duration }

func (u usage) less(o usage) usage { return usage{u.wall - o.wall, u.all - o.all, u.own - o.own} }

func (u usage) plus(o usage) usage { return usage{u.wall + o.wall, u.all + o.all, u.own + o.own} }

// others is the share of all processors, from 0 to 1, that others took; u is a
// difference.
func (u usage) others() float64 {
	if u.wall <= 0 {
		return 0
	}
	return max(0, float64(u.all-u.own)/float64(u.wall*time.Duration(runtime.NumCPU())))
}

// usage looks at the machine. Redis says itself what it has used, because it may be in a
// container.
func (b *bench) usage(redis time.Duration) (u usage, err error) {
	u.wall, u.own = time.Since(b.began), redis
	if u.all, err = machineTime(); err != nil {
		return u, err
	}
	pids := []int{os.Getpid()}
	for _, p := range b.parts {
		pids = append(pids, p.pid())
	}
	for _, pid := range pids {
		t, err := processorTime(pid)
		if err != nil {
			return u, err
		}
		u.own += t
	}
	return u, nil
}

// quiet is what is known of the machine while it was measured.
type quiet struct {
	Others []float64 `json:"others"` // share of the processors that others took; before the start, then in each round
	// Counting is how long the same work took before each round, in milliseconds.
	Counting []float64 `json:"countingMs"`
}

// idle looks for a second at who else uses the machine, and adds it to q.
func (b *bench) idle(ctx context.Context, q *quiet) error {
	const span = time.Second
	from, err := b.usage(0)
	if err != nil {
		return err
	}
	select {
	case <-time.After(span):
	case <-ctx.Done():
		return ctx.Err()
	}
	to, err := b.usage(0)
	if err != nil {
		return err
	}
	q.Others = append(q.Others, to.less(from).others())
	return nil
}

// count does the same work some times and notes how long the median took.
func (q *quiet) count() {
	var took []float64
	block := make([]byte, 1<<20)
	for range 15 {
		began := time.Now()
		for range 10 {
			sum := sha256.Sum256(block)
			block[0] = sum[0]
		}
		took = append(took, milliseconds(time.Since(began)))
	}
	slices.Sort(took)
	q.Counting = append(q.Counting, took[len(took)/2])
}

// busy says why nothing can be judged by what was measured; empty if it can.
func (q *quiet) busy() string {
	if most := slices.Max(q.Others); most > mostOthers {
		return fmt.Sprintf("the machine was busy, others took up to %.0f %% of its processors, and more than %.0f %% is too much", 100*most, 100*mostOthers)
	}
	if slower := slices.Max(q.Counting) / slices.Min(q.Counting); slower > mostSlower {
		return fmt.Sprintf("the machine was busy, the same work took up to %.2f times as long as at its fastest, and more than %.2f is too much", slower, mostSlower)
	}
	return ""
}
