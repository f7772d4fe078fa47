package turn

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
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
