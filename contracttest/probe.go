package contracttest

import (
	"fmt"
	"runtime"
	"testing"
)

// Breaks reports whether a backend breaks the rule with that id, and what the
// rule then said, without failing tb. It is how the suite is tested itself: a
// store that is broken on purpose must break its rule. A rule that is skipped is
// not broken, and its report says that it was skipped.
func Breaks(tb testing.TB, b Backend, id string) (broken bool, report string) {
	tb.Helper()
	for _, r := range Rules() {
		if r.ID == id {
			p := probed(tb, func(tb testing.TB) { Check(tb, b, r) })
			return p.failed, p.report
		}
	}
	tb.Fatalf("there is no rule %s", id)
	return false, ""
}

// probed runs f with a probe. It uses a goroutine, because a check that fails
// ends the goroutine that it runs on.
func probed(tb testing.TB, f func(testing.TB)) *probe {
	tb.Helper()
	p := &probe{TB: tb}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(p)
	}()
	<-done
	return p
}

// probe is a testing.TB that remembers how a test ends instead of passing it on.
type probe struct {
	testing.TB
	failed, skipped bool
	report          string
}

func (p *probe) Error(args ...any)                 { p.failed, p.report = true, fmt.Sprintln(args...) }
func (p *probe) Errorf(format string, args ...any) { p.Error(fmt.Sprintf(format, args...)) }
func (p *probe) Fail()                             { p.failed = true }
func (p *probe) Failed() bool                      { return p.failed }
func (p *probe) Skipped() bool                     { return p.skipped }

func (p *probe) FailNow() {
	p.failed = true
	runtime.Goexit()
}

func (p *probe) Fatal(args ...any) {
	p.Error(args...)
	runtime.Goexit()
}

func (p *probe) Fatalf(format string, args ...any) { p.Fatal(fmt.Sprintf(format, args...)) }

func (p *probe) SkipNow() {
	p.skipped = true
	runtime.Goexit()
}

func (p *probe) Skip(args ...any) {
	p.report = "skipped: " + fmt.Sprintln(args...)
	p.SkipNow()
}

func (p *probe) Skipf(format string, args ...any) { p.Skip(fmt.Sprintf(format, args...)) }
