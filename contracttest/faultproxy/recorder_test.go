package faultproxy_test

import (
	"fmt"
	"strings"
	"testing"

	"parley/contracttest/faultproxy"
)

func TestSaw(t *testing.T) {
	_, p := start(t)
	c := dial(t, p)
	saw := p.Saw(faultproxy.Names("INCR"))
	p.Set(faultproxy.LoseRequest()) // it came all the same
	c.send("INCR", "n", strings.Repeat("x", 1000))
	got := get(t, "the command", saw)
	if got.Name != "INCR" || len(got.Args) != 2 || got.Args[0] != "n" || len(got.Args[1]) != 256 {
		t.Errorf("saw %+v", got)
	}
}

func TestHold(t *testing.T) {
	s, p := start(t)
	c, other := dial(t, p), dial(t, p)
	gate := p.Hold(faultproxy.Names("INCR"))
	c.send("INCR")
	if got := get(t, "the held command", gate.Held()); got.Name != "INCR" {
		t.Errorf("holds %+v", got)
	}
	other.send("INCR") // the next one alone
	other.expect(":1\r\n")
	c.expectSilence()
	// The fault that is set by the time it is released is the one it suffers.
	p.Set(faultproxy.CutAfter(faultproxy.RST))
	gate.Release()
	gate.Release()
	c.expectEnd("", faultproxy.RST)
	if n := s.executed("INCR"); n != 2 {
		t.Errorf("%d ran, want 2", n)
	}
}

func TestHoldReply(t *testing.T) {
	s, p := start(t)
	c := dial(t, p)
	gate := p.HoldReply(faultproxy.Names("INCR"))
	c.send("PING")
	c.expect("+PONG\r\n")
	c.send("INCR")
	get(t, "the held reply", gate.Held())
	if s.executed("INCR") != 1 || p.Executions(faultproxy.Names("INCR")) != 1 {
		t.Error("it did not run")
	}
	c.expectSilence()
	gate.Release()
	c.expect(":1\r\n")
}

// A command that is held runs late, when nobody waits for it any more.
func TestHeldCommandOutlivesItsClient(t *testing.T) {
	s, p := start(t)
	c := dial(t, p)
	gate := p.Hold(faultproxy.Names("INCR"))
	c.send("INCR")
	get(t, "the held command", gate.Held())
	_ = c.Close()
	until(t, "the client has left", func() bool { return open(p) == 0 })
	gate.Release()
	until(t, "it ran", func() bool { return p.Executions(faultproxy.Names("INCR")) == 1 })
	if s.executed("INCR") != 1 {
		t.Error("it did not run")
	}
}

func TestHealOpensGates(t *testing.T) {
	_, p := start(t)
	c := dial(t, p)
	before, unused := p.Hold(faultproxy.Names("INCR")), p.HoldReply(faultproxy.Names("INCR"))
	c.send("INCR")
	get(t, "the held command", before.Held())
	p.Heal()
	c.expect(":1\r\n")
	select {
	case <-unused.Held():
		t.Error("a gate outlived healing")
	default:
	}
}

func TestExecutions(t *testing.T) {
	s, p := start(t)
	c := dial(t, p)
	scripts := faultproxy.Scripts()
	c.send("RAW", "-NOSCRIPT no\r\n")
	c.expect("-NOSCRIPT no\r\n")
	c.send("RAW", "-OOM full\r\n")
	c.expect("-OOM full\r\n")
	raw := faultproxy.Names("RAW")
	if came, ran := p.Came(raw), p.Executions(raw); came != 2 || ran != 1 {
		t.Errorf("%d came, %d ran, want 2 and 1: NOSCRIPT is no execution, another error is", came, ran)
	}
	for _, elsewhere := range []string{"-MOVED 3999 127.0.0.1:1", "-ASK 3999 127.0.0.1:1", "-TRYAGAIN later", "-CLUSTERDOWN no"} {
		c.send("RAW", elsewhere+"\r\n")
		c.expect(elsewhere + "\r\n")
		if n := p.Executions(raw); n != 1 {
			t.Errorf("%q counts as an execution", elsewhere)
		}
	}
	c.send("EVALSHA", strings.ToUpper("abc"), "0")
	c.expect(":1\r\n")
	if n := p.Executions(faultproxy.Scripts("abc")); n != 1 || p.Executions(scripts) != 1 {
		t.Errorf("%d scripts ran", n)
	}
	// Forwarded and not answered: counted as soon as it is.
	c.send("WAIT")
	until(t, "WAIT runs", func() bool { return s.executed("WAIT") == 1 })
	wait := faultproxy.Names("WAIT")
	if p.Executions(wait) != 0 {
		t.Error("counted too early")
	}
	_ = c.Close()
	s.proceed <- struct{}{}
	until(t, "it is counted though its client has left", func() bool { return p.Executions(wait) == 1 })
	p.Reset()
	if p.Came(faultproxy.All) != 0 {
		t.Error("still counted after Reset")
	}
}

// A count that lacks what was forgotten must not pass for one that does not.
func TestForgottenCommandsFailTheTest(t *testing.T) {
	s := serve(t)
	probe := &failing{TB: t}
	p := faultproxy.Start(probe, s.Addr().String())
	c := dial(t, p)
	p.Reset()
	const most, batch = 1 << 15, 1 << 10
	incr := strings.Repeat(words("INCR"), batch)
	for i := range most / batch {
		c.sendRaw(incr)
		for j := range batch {
			c.expect(fmt.Sprintf(":%d\r\n", i*batch+j+1))
		}
	}
	if n := p.Executions(faultproxy.All); n != most || probe.failed {
		t.Fatalf("%d counted, failed: %v", n, probe.failed)
	}
	c.send("PING")
	c.expect("+PONG\r\n")
	if n := p.Executions(faultproxy.Names("INCR")); n != most-1 || !probe.failed {
		t.Errorf("%d counted, want the last %d and a failure", n, most-1)
	}
	p.Reset()
	c.send("PING")
	c.expect("+PONG\r\n")
	if n := p.Executions(faultproxy.All); n != 1 {
		t.Errorf("%d counted after Reset", n)
	}
}

// failing is a test that remembers its failure.
type failing struct {
	testing.TB
	failed bool
}

func (f *failing) Errorf(string, ...any) { f.failed = true }
