package server

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/store"
)

// An answer that the store refuses for good is not tried again: the turn ends as
// failed at once with the class of the refusal, and the conversation goes on.
func TestAnswerThatIsRefusedForGood(t *testing.T) {
	for name, c := range map[string]struct {
		err    *store.Error
		status int
		class  string
	}{
		"rejected": {&store.Error{Op: "CompleteTurn", Kind: store.ErrRejected}, 503, "store_rejected"},
		"protocol": {&store.Error{Op: "CompleteTurn", Kind: store.ErrProtocol}, 503, "store_protocol"},
		"no right": {&store.Error{Op: "CompleteTurn", Kind: store.ErrAuth, Code: "NOPERM"}, 503, "store_auth"},
		"corrupt":  {&store.Error{Op: "CompleteTurn", Kind: store.ErrCorrupt}, 500, "store_corrupt"},
	} {
		for _, when := range []string{"at once", "after an outage"} {
			t.Run(name+" "+when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newTimedHarness(t, nil)
					id := w.start()
					status, class := c.status, c.class
					if when == "at once" {
						w.store.failOn("CompleteTurn", c.err)
					} else {
						w.store.failOn("CompleteTurn", errAway)
						status, class = 503, "store_unreachable"
					}
					began := time.Now()
					rec := w.must(status, send(id, "x"))
					if got := field[string](t, rec, "class"); got != class {
						t.Errorf("class %s", got)
					}
					if when == "at once" && time.Since(began) != 0 {
						t.Errorf("it took %v", time.Since(began))
					}
					w.store.failOn("CompleteTurn", c.err)
					w.waitUntilStored()
					if h := w.history(id); len(h.Failures) != 1 || h.Failures[0].Class != c.class || h.PendingTurn != 0 {
						t.Errorf("stored %+v", h)
					}
					if lost := strings.Contains(w.logs.String(), `"reason":"refused","class":"`+c.class); lost != (when != "at once") {
						t.Errorf("log %s", w.logs)
					}
					w.store.failOn("CompleteTurn", nil)
					w.must(200, send(id, "y"))
				})
			})
		}
	}
}
