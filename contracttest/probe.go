package contracttest

import (
	"fmt"
	"runtime"
	"testing"
)

// Breaks reports whether a backend breaks the rule with that id, and what the
// rule then said, without failing tb. It is how the suite is tested itself: a
// store that is broken on purpose must break its rule.
func Breaks(tb testing.TB, b Backend, id string) (broken bool, report string) {
	tb.Helper()
	for _, r := range Rules() {
		if r.ID != id {
			continue
		}
		p := &probe{TB: tb}
		done := make(chan struct{})
		// A goroutine of its own, because a failing check ends the one it is on.
		go func() {
			defer close(done)
			Check(p, b, r)
		}()
		<-done
		return p.failed, p.report
	}
	tb.Fatalf("there is no rule %s", id)
	return false, ""
}

// probe is a testing.TB that remembers failures instead of passing them on.
type probe struct {
	testing.TB
	failed bool
	report string
}

func (p *probe) Fatalf(format string, args ...any) {
	p.failed, p.report = true, fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (p *probe) Skipf(format string, args ...any) {
	p.report = "skipped: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}
