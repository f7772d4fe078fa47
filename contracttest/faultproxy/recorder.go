package faultproxy

import (
	"slices"
	"sync"
)

// maxRecords is how many commands are kept; the oldest are dropped.
const maxRecords = 1 << 15

// recorder keeps the commands that arrived and notifies those who wait for one.
type recorder struct {
	mu       sync.Mutex
	base     int // number of the first command since the last Reset
	next     int // number of the next command
	records  []record
	watchers []watcher
	gates    []*Gate
	closed   bool
}

type record struct {
	Command
	executed bool
}

type watcher struct {
	match Match
	came  chan Command
}

// Gate holds a command; see Proxy.Hold.
type Gate struct {
	match   Match
	reply   bool
	held    chan Command
	release chan struct{}
	once    sync.Once
	taken   bool // guarded by the recorder's mutex
}

// Held gets the command once it is held.
func (g *Gate) Held() <-chan Command { return g.held }

// Release lets the command go on, even if its client has given up by then. A command
// that was not forwarded yet gets the fault that is set at that time. A gate that holds
// no command yet will not hold one. Later calls do nothing.
func (g *Gate) Release() { g.once.Do(func() { close(g.release) }) }

// Hold stops the next command that m selects before it is forwarded, until Release,
// Heal or Close, whatever fault is set. Later commands of the same connection wait as
// well.
func (p *Proxy) Hold(m Match) *Gate { return p.recorder.gate(m, false) }

// HoldReply stops the reply of the next command that m selects before it is delivered,
// until Release, Heal or Close.
func (p *Proxy) HoldReply(m Match) *Gate { return p.recorder.gate(m, true) }

// Saw returns a channel that receives the next command that m selects, before the
// command is forwarded. The channel is closed when the proxy is closed.
func (p *Proxy) Saw(m Match) <-chan Command {
	rec := &p.recorder
	rec.mu.Lock()
	defer rec.mu.Unlock()
	came := make(chan Command, 1)
	if rec.closed {
		close(came)
	} else {
		rec.watchers = append(rec.watchers, watcher{m, came})
	}
	return came
}

// Executions counts the commands selected by m that Redis has run. What it answered
// with NOSCRIPT, MOVED, ASK, TRYAGAIN or CLUSTERDOWN it has not. Another error, such as
// OOM, counts, and so does a reply that the client never got. A command that Redis has not answered yet does
// not count; a later call may count it.
//
// It fails the test when more than 32 768 commands arrived since Start or the last
// Reset, because the oldest are then dropped.
func (p *Proxy) Executions(m Match) int {
	p.tb.Helper()
	return p.count(func(r record) bool { return r.executed && m(r.Command) })
}

// Came counts the commands selected by m that arrived from clients, executed or not.
// It has the bound of Executions.
func (p *Proxy) Came(m Match) int {
	p.tb.Helper()
	return p.count(func(r record) bool { return m(r.Command) })
}

// Reset drops all commands recorded so far, so that no count includes them.
func (p *Proxy) Reset() {
	rec := &p.recorder
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.base, rec.records = rec.next, nil
}

func (p *Proxy) count(chosen func(record) bool) int {
	p.tb.Helper()
	rec := &p.recorder
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.next-rec.base > maxRecords {
		p.tb.Errorf("the proxy has dropped records of commands: %d came since the last Reset", rec.next-rec.base)
	}
	n := 0
	for _, r := range rec.records {
		if chosen(r) {
			n++
		}
	}
	return n
}

// note records a command that arrived. It returns its number and the gate that
// holds it, nil if none does.
func (rec *recorder) note(c Command) (int, *Gate) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	n := rec.next
	rec.next++
	if len(rec.records) < maxRecords {
		rec.records = append(rec.records, record{Command: c})
	} else {
		rec.records[(n-rec.base)%maxRecords] = record{Command: c}
	}
	rec.watchers = slices.DeleteFunc(rec.watchers, func(o watcher) bool {
		if !o.match(c) {
			return false
		}
		o.came <- c
		return true
	})
	return n, rec.take(c, false)
}

// executed records that Redis has answered a command. It returns the gate that
// holds the reply, nil if none does.
func (rec *recorder) executed(n int, c Command) *Gate {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if n >= rec.base && rec.next-n <= maxRecords {
		rec.records[(n-rec.base)%maxRecords].executed = true
	}
	return rec.take(c, true)
}

// take returns the first free gate for a command and marks it as taken.
func (rec *recorder) take(c Command, reply bool) *Gate {
	for _, g := range rec.gates {
		if !g.taken && g.reply == reply && g.match(c) {
			g.taken = true
			g.held <- c
			return g
		}
	}
	return nil
}

func (rec *recorder) gate(m Match, reply bool) *Gate {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	g := &Gate{match: m, reply: reply, held: make(chan Command, 1), release: make(chan struct{})}
	rec.gates = append(rec.gates, g)
	return g
}

// release opens all gates and removes them.
func (rec *recorder) release() {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for _, g := range rec.gates {
		g.Release()
	}
	rec.gates = nil
}

// close closes the channels of all that wait for a command.
func (rec *recorder) close() {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.closed = true
	for _, o := range rec.watchers {
		close(o.came)
	}
	rec.watchers = nil
}
