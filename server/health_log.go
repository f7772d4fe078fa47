package server

import (
	"context"
	"log/slog"
	"time"

	"parley/store"
)

// stateLogPause is the least time between two lines of a stateLog.
const stateLogPause = 10 * time.Second

// stateLog has a line of the log for each change of the store's state that a probe
// finds, also of one that no request and no circuit breaker was there to notice. A state
// that comes and goes has a line in stateLogPause, which says how many changes it had.
type stateLog struct {
	log     *slog.Logger
	last    probed    // that a probe found
	since   time.Time // when that began
	told    probed    // that the log has; zero before the first
	began   time.Time // when that began
	at      time.Time // when it was told
	changes int       // after that
}

// probed is what a probe finds and the log tells.
type probed struct {
	state, class string
	up, total    int // shards
}

// note takes what a probe has found. err is why the store is not connected.
func (l *stateLog) note(now time.Time, state, class string, shards store.Shards, err error) {
	found := probed{state, class, shards.Up, shards.Total}
	if found != l.last {
		l.last, l.since = found, now
		l.changes++
	}
	first := l.told == probed{}
	if found == l.told || !first && now.Sub(l.at) < stateLogPause {
		return
	}
	attrs := []slog.Attr{slog.String("state", state)}
	if !first {
		attrs = append(attrs, slog.String("before", l.told.state), slog.Float64("before_s", l.since.Sub(l.began).Seconds()))
	}
	level := slog.LevelInfo
	if err != nil {
		level = slog.LevelWarn
		attrs = append(attrs, slog.String("class", class), slog.String("error", safeText(err, class)))
	}
	if shards.Total > 1 {
		attrs = append(attrs, slog.Int("shards_up", shards.Up), slog.Int("shards", shards.Total))
	}
	if l.changes > 1 {
		attrs = append(attrs, slog.Int("changes", l.changes))
	}
	l.log.LogAttrs(context.Background(), level, "the store's state", attrs...)
	l.told, l.began, l.at, l.changes = found, l.since, now, 0
}
