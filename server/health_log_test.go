package server

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"parley/store"
)

// stateLine is a line of the log about the store's state.
type stateLine struct {
	Level, Msg, State, Before, Class, Error string
	BeforeS                                 float64 `json:"before_s"`
	Up                                      int     `json:"shards_up"`
	Shards, Changes                         int
}

// Each change of the store's state is told once, with its class and why; one that comes
// and goes is not told more often than every ten seconds, and the last state always is.
func TestStateOfTheStoreIsLogged(t *testing.T) {
	var logs lockedBuffer
	now := time.Date(2026, 3, 2, 9, 15, 4, 0, time.UTC)
	all := store.Shards{Up: 3, Total: 3, SlotsServed: 3, SlotsTotal: 3}
	found := all
	h := NewHealth(HealthConfig{
		Backend: "redis", Log: slog.New(slog.NewJSONHandler(&logs, nil)), Now: func() time.Time { return now },
		Shards: func(context.Context) store.Shards { return found },
	})
	said := 0
	probe := func(times int, f store.Shards) (lines []stateLine) {
		t.Helper()
		found = f
		for range times {
			now = now.Add(time.Second)
			h.Probe(t.Context())
		}
		text := strings.Split(strings.TrimSuffix(logs.String(), "\n"), "\n")
		for _, line := range text[said:] {
			var l stateLine
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, l)
		}
		said = len(text)
		return lines
	}
	one := func(lines []stateLine, want stateLine) {
		t.Helper()
		want.Msg = "the store's state"
		if len(lines) != 1 || lines[0] != want {
			t.Errorf("said %+v, want %+v", lines, want)
		}
	}
	away := store.Shards{Total: 3, SlotsTotal: 3, Worst: &store.Error{Op: "Shards", Kind: store.ErrUnreachable, Reason: "connection refused"}}
	some := store.Shards{Up: 2, Total: 3, SlotsServed: 2, SlotsTotal: 3, Worst: &store.Error{Op: "Shards", Kind: store.ErrNotReady, Reason: "no node of the cluster has the slot"}}
	one(probe(20, all), stateLine{Level: "INFO", State: "connected", Up: 3, Shards: 3})
	one(probe(20, some), stateLine{
		Level: "WARN", State: "partial", Before: "connected", BeforeS: 20, Class: "store_not_ready",
		Error: "Shards: store: not ready (no node of the cluster has the slot)", Up: 2, Shards: 3,
	})
	one(probe(20, away), stateLine{
		Level: "WARN", State: "disconnected", Before: "partial", BeforeS: 20, Class: "store_unreachable",
		Error: "Shards: store: unreachable (connection refused)", Shards: 3,
	})
	one(probe(1, all), stateLine{Level: "INFO", State: "connected", Before: "disconnected", BeforeS: 20, Up: 3, Shards: 3})
	var flapping []stateLine
	for range 100 {
		flapping = append(flapping, probe(1, away)...)
		flapping = append(flapping, probe(1, all)...)
	}
	if n := len(flapping); n < 5 || n > 21 {
		t.Errorf("%d lines in 200 s", n)
	}
	last := append(flapping, probe(20, away)...)
	if l := last[len(last)-1]; l.State != "disconnected" {
		t.Errorf("the last state was not told: %+v", l)
	}
}
