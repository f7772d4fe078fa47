package turn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/store"
)

func TestOutboxIsBounded(t *testing.T) {
	var classes []string
	away := errors.New("away")
	o := newOutbox(Config{
		CommitTimeout: time.Hour, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Class:           func(error) string { return "store_unreachable" },
		OnCommitDropped: func(class string) { classes = append(classes, class) },
	})
	o.stop() // nothing is tried
	end := func(n, size int, fence int64) *entry {
		text := strings.Repeat("x", size)
		return &entry{
			request: t.Context(),
			turn:    store.Turn{Conversation: fmt.Sprint(n), Fence: fence},
			done:    &store.Completion{Outcome: store.Outcome{Messages: []store.Message{{Text: text}}}},
		}
	}
	o.push(end(0, maxOutboxBytes, 1), away)
	if o.pending() != 0 || !slices.Equal(classes, []string{"store_unreachable"}) {
		t.Errorf("%d wait, dropped %v", o.pending(), classes)
	}
	for n := range maxEntries + 5 {
		o.push(end(n, 10, 2), away)
	}
	if o.pending() != maxEntries || len(classes) != 6 {
		t.Errorf("%d wait, dropped %v", o.pending(), classes)
	}
	o.push(end(7, 10, 1), away) // older than the one that waits
	o.push(end(7, 10, 3), away) // newer
	if o.pending() != maxEntries || len(classes) != 8 || o.waiting[conversationKey{conversation: "7"}].turn.Fence != 3 {
		t.Errorf("%d wait, dropped %v", o.pending(), classes)
	}
	o.close(t.Context())
	if o.pending() != 0 || o.bytes != 0 || len(o.order) != 0 || len(classes) != maxEntries+8 {
		t.Errorf("%d wait after the end, %d bytes", o.pending(), o.bytes)
	}
	o.push(end(1, 10, 1), away)
	if o.pending() != 0 {
		t.Error("taken after the end")
	}
}

// endless is a store that gives the ends of turns what a test wants.
type endless struct {
	store.Store
	err error
}

func (s endless) CompleteTurn(context.Context, store.Turn, store.Completion) error { return s.err }
func (s endless) FailTurn(context.Context, store.Turn, string) error               { return s.err }

// requestOf is the key of the request in the contexts of these tests.
type requestOf struct{}

// told is a log handler that keeps whose lines it was given.
type told struct {
	slog.Handler
	lines *[]string
}

func (h told) Handle(ctx context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "reason" {
			text += ": " + a.Value.String()
		}
		return true
	})
	whose, _ := ctx.Value(requestOf{}).(string)
	*h.lines = append(*h.lines, text+", of "+whose)
	return nil
}

func (told) Enabled(context.Context, slog.Level) bool { return true }

// Whatever becomes of the end of a turn, the line that says so is of the request of that
// turn, also when another request brought it about.
func TestLinesOfTheOutbox(t *testing.T) {
	away := &store.Error{Kind: store.ErrUnreachable}
	dropped := "end of a turn dropped: "
	for what, c := range map[string]struct {
		err   error  // of the attempts
		act   string // of another request, or the end of the process
		want, // of an answer
		ofFailure string // of the end of a turn that failed
	}{
		"stored":        {want: "end of a turn stored late"},
		"stored for":    {act: "flush", want: "end of a turn stored late"},
		"taken over":    {err: store.ErrStale, want: dropped + "void"},
		"gone, for":     {err: store.ErrNotFound, act: "flush", want: dropped + "void"},
		"refused":       {err: &store.Error{Kind: store.ErrRejected}, want: dropped + "refused, of first|" + dropped + "refused", ofFailure: dropped + "refused"},
		"never":         {err: away, want: dropped + "age"},
		"at the end":    {err: away, act: "close", want: dropped + "shutdown"},
		"after the end": {act: "closed", want: dropped + "shutdown"},
		"overtaken":     {err: away, act: "overtake", want: dropped + "void"},
		"too late":      {err: away, act: "late", want: dropped + "void"},
	} {
		for _, answered := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, answered %v", what, answered), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var lines []string
					o := newOutbox(Config{
						CommitTimeout: time.Second, Now: time.Now, Log: slog.New(told{slog.DiscardHandler, &lines}), Store: endless{err: c.err},
						Class: func(error) string { return "class" }, OnCommitDropped: func(string) {},
					})
					of := func(request string, fence int64) *entry {
						e := &entry{request: context.WithValue(t.Context(), requestOf{}, request), turn: store.Turn{Conversation: "c", Fence: fence}}
						if answered {
							e.done = &store.Completion{}
						}
						return e
					}
					first := of("first", 2)
					switch c.act {
					case "closed":
						o.close(t.Context())
						o.push(first, away)
					case "late":
						o.push(of("second", 3), away)
						o.push(first, away)
					default:
						o.push(first, away)
					}
					switch c.act {
					case "flush":
						_ = o.flush(of("second", 3).request, first.key())
					case "overtake":
						o.push(of("second", 3), away)
					case "":
						time.Sleep(MaxCommitAge + time.Minute)
					}
					want := c.want
					if !answered && c.ofFailure != "" {
						want = c.ofFailure
					}
					if c.act == "close" {
						over, cancel := context.WithCancel(t.Context())
						cancel()
						o.close(over)
					}
					synctest.Wait()
					if got := strings.Join(lines, "|"); got != want+", of first" {
						t.Errorf("%s, want %s, of first", got, want)
					}
					over, cancel := context.WithCancel(t.Context())
					cancel()
					o.close(over)
				})
			})
		}
	}
}
