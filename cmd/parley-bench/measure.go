//go:build linux

package main

import (
	"context"
	"fmt"
	"time"
)

// sample is what one subject did under one load.
type sample struct {
	Requests  int     `json:"requests"`
	PerSecond float64 `json:"perSecond"`
	P50       float64 `json:"p50Ms"`
	P99       float64 `json:"p99Ms"`
	// Per request, of the service's process and of Redis; processor times in microseconds.
	ServerCPU     float64 `json:"serverUs"`
	RedisCPU      float64 `json:"redisUs"`
	RedisCommands float64 `json:"redisCommands"` // those that scripts call as well
	RedisIn       float64 `json:"redisBytesIn"`
	RedisOut      float64 `json:"redisBytesOut"`
	Allocations   float64 `json:"allocations"`
	Allocated     float64 `json:"allocatedBytes"`
	Resident      int64   `json:"residentBytes"` // at the end

	machine usage
}

// measure puts a subject under the load of a cell.
func (b *bench) measure(ctx context.Context, s *subject, c cell) (sample, error) {
	fail := func(err error) (sample, error) {
		return sample{}, fmt.Errorf("%s, %s with %d connections: %w", s.name, c.Route, c.Connections, err)
	}
	l, err := newLoad(ctx, s, c)
	if err != nil {
		return fail(err)
	}
	defer l.close()
	if _, _, err := l.run(ctx, b.options.plan.Warm); err != nil {
		return fail(err)
	}
	window := b.options.plan.Window
	if c.Judged {
		window = b.options.plan.Judged
	}
	out, err := b.observe(ctx, s, l, window)
	if err != nil {
		return fail(err)
	}
	return out, nil
}

// observe runs a load and looks at everything before and after.
func (b *bench) observe(ctx context.Context, s *subject, l *load, window time.Duration) (sample, error) {
	// Reading what was allocated allocates: twice in a row says how much.
	first, err := readHeap(ctx, s.admin)
	if err != nil {
		return sample{}, err
	}
	before, err := readHeap(ctx, s.admin)
	if err != nil {
		return sample{}, err
	}
	from, err := b.look(ctx, s)
	if err != nil {
		return sample{}, err
	}
	took, whole, err := l.run(ctx, window)
	if err != nil {
		return sample{}, err
	}
	to, err := b.look(ctx, s)
	if err != nil {
		return sample{}, err
	}
	after, err := readHeap(ctx, s.admin)
	if err != nil {
		return sample{}, err
	}
	out := sample{
		Requests: len(took), PerSecond: float64(len(took)) / whole.Seconds(),
		P50: milliseconds(quantile(took, 0.5)), P99: milliseconds(quantile(took, 0.99)), machine: to.machine.less(from.machine),
	}
	per := func(n int64) float64 { return float64(n) / float64(len(took)) }
	out.ServerCPU, out.RedisCPU = per((to.server - from.server).Microseconds()), per((to.redis.processor - from.redis.processor).Microseconds())
	done := to.redis.less(from.redis)
	out.RedisCommands, out.RedisIn, out.RedisOut = per(done.commands), per(done.in), per(done.out)
	allocated := after.less(before).less(before.less(first))
	out.Allocations, out.Allocated = per(allocated.objects), per(allocated.bytes)
	out.Resident, err = resident(s.pid())
	return out, err
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// moment is what everything has used so far.
type moment struct {
	server  time.Duration
	redis   redisUse
	machine usage
}

func (b *bench) look(ctx context.Context, s *subject) (m moment, err error) {
	if m.redis, err = b.redis.use(ctx); err != nil {
		return m, err
	}
	if m.server, err = processorTime(s.pid()); err != nil {
		return m, err
	}
	m.machine, err = b.usage(m.redis.processor)
	return m, err
}
