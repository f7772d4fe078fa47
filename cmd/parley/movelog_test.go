package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Each change of the primaries has a line, at most one in ten seconds for each reason.
func TestMovesAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		l := &moveLog{log: slog.New(slog.NewTextHandler(&log, nil))}
		for range 100 {
			l.note("a failover")
			time.Sleep(100 * time.Millisecond)
		}
		l.note("another")
		time.Sleep(movePause)
		l.note("a failover")
		text := log.String()
		if strings.Count(text, "\n") != 3 || strings.Count(text, `reason="a failover"`) != 2 || !strings.Contains(text, "not_shown=99") {
			t.Errorf("the log has\n%s", text)
		}
	})
}
