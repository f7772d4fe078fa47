package faultproxy

import (
	"slices"
	"sync"
)

// maxRecords is how many commands are remembered; the oldest are forgotten.
const maxRecords = 1 << 15

// watch remembers the commands that came and tells those who wait for one.
type watch struct {
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
	taken   bool // guarded by the watch
}

// Held gets the command once it is held.
func (g *Gate) Held() <-chan Command { return g.held }

// Release lets the command go on, even if its client has given up meanwhile. One
// that was not forwarded yet suffers the fault that is set by then. A gate that
// holds nothing yet will let its command through. It may be called more than
// once.
func (g *Gate) Release() { g.once.Do(func() { close(g.release) }) }

// Hold stops the next command that m chooses before it is forwarded, until
// Release, Heal or Close. It does not depend on the fault that is set. What the
// client sent behind it on the same connection waits as well.
func (p *Proxy) Hold(m Match) *Gate { return p.watch.gate(m, false) }

// HoldReply stops the next command that m chooses when Redis has answered it
// and before its client has the reply, until Release, Heal or Close.
func (p *Proxy) HoldReply(m Match) *Gate { return p.watch.gate(m, true) }

// Saw gives the next command that m chooses, when it comes and before anything
// is done with it. The channel is closed without one when the proxy is closed.
func (p *Proxy) Saw(m Match) <-chan Command {
	w := &p.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	came := make(chan Command, 1)
	if w.closed {
		close(came)
	} else {
		w.watchers = append(w.watchers, watcher{m, came})
	}
	return came
}

// Executions is how many of the commands that m chooses were forwarded and
// answered by Redis, with whatever but NOSCRIPT: an error such as OOM counts, a
// reply that was kept from the client counts. A command that was forwarded and
// not answered yet does not count; it may when it is asked again.
//
// It fails the test when commands were forgotten, after 32 768 since Start or
// the last Reset.
func (p *Proxy) Executions(m Match) int {
	p.tb.Helper()
	return p.count(func(r record) bool { return r.executed && m(r.Command) })
}

// Came is how many of the commands that m chooses came from clients, executed or
// not. Its bound is that of Executions.
func (p *Proxy) Came(m Match) int {
	p.tb.Helper()
	return p.count(func(r record) bool { return m(r.Command) })
}

// Reset forgets all commands so far, which are then in no count.
func (p *Proxy) Reset() {
	w := &p.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	w.base, w.records = w.next, nil
}

func (p *Proxy) count(chosen func(record) bool) int {
	p.tb.Helper()
	w := &p.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next-w.base > maxRecords {
		p.tb.Errorf("the proxy has forgotten commands: %d came since the last Reset", w.next-w.base)
	}
	n := 0
	for _, r := range w.records {
		if chosen(r) {
			n++
		}
	}
	return n
}

// note remembers a command that came, and gives its number and the gate that
// holds it, if one does.
func (w *watch) note(c Command) (int, *Gate) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.next
	w.next++
	if len(w.records) < maxRecords {
		w.records = append(w.records, record{Command: c})
	} else {
		w.records[(n-w.base)%maxRecords] = record{Command: c}
	}
	w.watchers = slices.DeleteFunc(w.watchers, func(o watcher) bool {
		if !o.match(c) {
			return false
		}
		o.came <- c
		return true
	})
	return n, w.take(c, false)
}

// executed notes that Redis has answered a command, and gives the gate that
// holds the reply, if one does.
func (w *watch) executed(n int, c Command) *Gate {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n >= w.base && w.next-n <= maxRecords {
		w.records[(n-w.base)%maxRecords].executed = true
	}
	return w.take(c, true)
}

// take gives the first gate for a command. It is then nobody else's.
func (w *watch) take(c Command, reply bool) *Gate {
	for _, g := range w.gates {
		if !g.taken && g.reply == reply && g.match(c) {
			g.taken = true
			g.held <- c
			return g
		}
	}
	return nil
}

func (w *watch) gate(m Match, reply bool) *Gate {
	w.mu.Lock()
	defer w.mu.Unlock()
	g := &Gate{match: m, reply: reply, held: make(chan Command, 1), release: make(chan struct{})}
	w.gates = append(w.gates, g)
	return g
}

// release opens all gates and does away with them.
func (w *watch) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, g := range w.gates {
		g.Release()
	}
	w.gates = nil
}

// close tells those who wait that nothing will come any more.
func (w *watch) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, o := range w.watchers {
		close(o.came)
	}
	w.watchers = nil
}
