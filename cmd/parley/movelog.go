package main

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// movePause is the least time between two lines of a moveLog with the same reason.
const movePause = 10 * time.Second

// moveLog has a line of the log for each time that the primaries of Redis turn out to be
// others. What it leaves out for movePause is counted in the next line.
type moveLog struct {
	log *slog.Logger

	mu   sync.Mutex
	told map[string]*moves // by reason, which are few
}

// moves are those of one reason.
type moves struct {
	at       time.Time // when the log was told last
	notShown int
}

// note is for redis.Trace.Moved.
func (l *moveLog) note(reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.told == nil {
		l.told = map[string]*moves{}
	}
	m := l.told[reason]
	if m == nil {
		m = &moves{}
		l.told[reason] = m
	}
	now := time.Now()
	if !m.at.IsZero() && now.Sub(m.at) < movePause {
		m.notShown++
		return
	}
	l.log.LogAttrs(context.Background(), slog.LevelWarn, "the primaries of Redis have changed",
		slog.String("reason", reason), slog.Int("not_shown", m.notShown))
	m.at, m.notShown = now, 0
}
