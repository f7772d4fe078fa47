package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// Progress is a Watcher that shows how far a run is. On a terminal it is one line
// with a bar, the rule that runs, and the time that is left; elsewhere, a line for
// each rule that has ended. What is bad is written above the bar and stays.
type Progress struct {
	w     io.Writer
	width int // columns of the terminal; 0 where it is none
	now   func() time.Time

	mu      sync.Mutex
	began   time.Time
	running []string // ids, the first begun first
	done    int
	all     int
	tried   int // done and not skipped
	bad     int
}

// NewProgress shows a run of so many rules on w. width is the number of columns of
// the terminal, 0 for plain lines; now is the clock.
func NewProgress(w io.Writer, width, rules int, now func() time.Time) *Progress {
	return &Progress{w: w, width: width, all: rules, now: now, began: now()}
}

// Begun implements Watcher.
func (p *Progress) Begun(r Rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = append(p.running, r.ID)
	p.draw()
}

// Ended implements Watcher.
func (p *Progress) Ended(x Result, done, all int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.running, x.ID); i >= 0 {
		p.running = slices.Delete(p.running, i, i+1)
	}
	p.done, p.all = done, all
	if x.Outcome != Skipped {
		p.tried++
	}
	if x.Outcome.Bad() {
		p.bad++
	}
	switch {
	case p.width == 0 && x.Outcome != Skipped:
		fmt.Fprintf(p.w, "[%d/%d] %s %s, %s\n", done, all, x.Outcome.short(), x.ID, x.Took)
	case p.width > 0 && x.Outcome.Bad():
		p.erase()
		fmt.Fprintf(p.w, "%s %s\n", x.Outcome.short(), x.ID)
	}
	p.draw()
}

// Close takes the bar away.
func (p *Progress) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	p.width = 0
}

// erase clears the line of the bar and goes to its beginning.
func (p *Progress) erase() {
	if p.width > 0 {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

const barWidth = 20

// draw writes the line of the bar. It is a column shorter than the terminal, because
// some go to the next line after the last.
func (p *Progress) draw() {
	if p.width == 0 || p.all == 0 {
		return
	}
	full := barWidth * p.done / p.all
	line := fmt.Sprintf("[%s%s] %d/%d", strings.Repeat("#", full), strings.Repeat("-", barWidth-full), p.done, p.all)
	if p.bad > 0 {
		line += fmt.Sprintf("  %d bad", p.bad)
	}
	if left, ok := p.left(); ok {
		line += "  " + left.String() + " left"
	}
	if len(p.running) > 0 {
		line += "  " + p.running[0]
	}
	if more := len(p.running) - 1; more > 0 {
		line += fmt.Sprintf(" and %d more", more)
	}
	p.erase()
	fmt.Fprint(p.w, atRune(line, p.width-1))
}

// left estimates the time to the end by the time that rules took so far. What was
// skipped took none, and says nothing of the rest.
func (p *Progress) left() (Duration, bool) {
	if p.tried == 0 || p.done == p.all {
		return 0, false
	}
	each := p.now().Sub(p.began) / time.Duration(p.tried)
	return Duration((each * time.Duration(p.all-p.done)).Round(time.Second)), true
}
