package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// gate is a writer that hangs while it is shut, and fails while it is broken.
type gate struct {
	mu     sync.Mutex
	opened *sync.Cond
	shut   bool
	err    error
	got    strings.Builder
}

func newGate(shut bool) *gate {
	g := &gate{shut: shut}
	g.opened = sync.NewCond(&g.mu)
	return g
}

func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.shut {
		g.opened.Wait()
	}
	if g.err != nil {
		return 0, g.err
	}
	return g.got.Write(p)
}

func (g *gate) set(shut bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut, g.err = shut, err
	g.opened.Broadcast()
}

func (g *gate) text() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.got.String()
}

// TEL-06: nobody waits for a writer that hangs. What has no room is counted, and told once
// when the writer goes on.
func TestLineQueueDropsWhatHasNoRoom(t *testing.T) {
	for name, line := range map[string]string{"by lines": "x", "by bytes": strings.Repeat("x", 64<<10)} {
		synctest.Test(t, func(t *testing.T) {
			g := newGate(true)
			q := NewLineQueue(g)
			const written = MaxQueuedLines + 500
			whole := []byte(line + "\n")
			for range written {
				if n, err := q.Write(whole); n != len(whole) || err != nil {
					t.Fatal(n, err)
				}
			}
			synctest.Wait() // the writer has taken what it can
			if held := len(q.waiting.bytes) + len(q.writing.bytes); held > MaxQueuedBytes {
				t.Errorf("%s: holds %d bytes", name, held)
			}
			g.set(false, nil)
			synctest.Wait()
			_, _ = fmt.Fprintln(q, "after")
			synctest.Wait()
			lines := strings.Split(strings.TrimSpace(g.text()), "\n")
			var report struct {
				Level, Msg string
				Lines      int64
			}
			reports, xs, after := 0, int64(0), 0
			for i, l := range lines {
				switch {
				case l == line:
					xs++
				case l == "after":
					after = i
				case json.Unmarshal([]byte(l), &report) == nil:
					reports++
				}
			}
			if reports != 1 || report.Lines != q.Dropped() || report.Level != "WARN" || report.Msg != "log lines were dropped" {
				t.Errorf("%s: %d reports, the last %+v, %d dropped", name, reports, report, q.Dropped())
			}
			if xs+q.Dropped() != written || xs == 0 || xs > MaxQueuedLines || after != len(lines)-1 {
				t.Errorf("%s: %d lines written, %d dropped, %d after", name, xs, q.Dropped(), after)
			}
			if err := q.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A writer that fails loses lines, and they are counted too. Nothing is lost once it
// has recovered.
func TestLineQueueOutlivesABrokenWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(false)
		q := NewLineQueue(g)
		g.set(false, errors.New("broken pipe"))
		for range 5 {
			_, _ = fmt.Fprintln(q, "lost")
			synctest.Wait()
		}
		g.set(false, nil)
		_, _ = fmt.Fprintln(q, "kept")
		synctest.Wait()
		if got := g.text(); q.Dropped() != 5 || !strings.HasPrefix(got, "kept\n") || !strings.Contains(got, `"lines":5`) || strings.Contains(got, "lost") {
			t.Errorf("%d dropped: %s", q.Dropped(), got)
		}
		if err := q.Close(t.Context()); err != nil {
			t.Error(err)
		}
		_, _ = fmt.Fprintln(q, "too late")
		if q.Dropped() != 6 {
			t.Errorf("%d dropped", q.Dropped())
		}
	})
}

// Close writes what waits, and does not wait for a writer that hangs.
func TestLineQueueCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(true)
		q := NewLineQueue(g)
		_, _ = fmt.Fprintln(q, "last")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if began := time.Now(); q.Close(ctx) == nil || time.Since(began) != time.Second {
			t.Errorf("ended after %v", time.Since(began))
		}
		g.set(false, nil)
		if err := q.Close(t.Context()); err != nil || g.text() != "last\n" {
			t.Errorf("%v: %q", err, g.text())
		}
	})
}

// A logger on a queue is used from everywhere, also while its writer stops and goes
// on. Every line is either written whole or counted.
func TestLineQueueUnderLoad(t *testing.T) {
	g := newGate(false)
	q := NewLineQueue(g)
	log := slog.New(slog.NewJSONHandler(q, nil))
	const writers, each = 8, 4000
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for i := range each {
				log.LogAttrs(t.Context(), slog.LevelInfo, "request", slog.Int("n", i), slog.String("pad", strings.Repeat("x", 200)))
				if i%1000 == 0 {
					g.set(i%2000 == 0, nil)
				}
			}
		})
	}
	all.Wait()
	g.set(false, nil)
	if err := q.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	whole := 0
	for l := range strings.SplitSeq(strings.TrimSpace(g.text()), "\n") {
		var line struct{ Msg string }
		if err := json.Unmarshal([]byte(l), &line); err != nil {
			t.Fatalf("%v: %s", err, l)
		}
		if line.Msg == "request" {
			whole++
		}
	}
	if int64(whole)+q.Dropped() != writers*each {
		t.Errorf("%d lines written and %d dropped of %d", whole, q.Dropped(), writers*each)
	}
}

// A line costs the queue no allocation of its own.
func TestLineQueueAllocations(t *testing.T) {
	q := NewLineQueue(io.Discard)
	defer func() { _ = q.Close(t.Context()) }()
	line := []byte(strings.Repeat("x", 400) + "\n")
	if n := testing.AllocsPerRun(5000, func() { _, _ = q.Write(line) }); n > 0 {
		t.Errorf("%v allocations for a line", n)
	}
}
