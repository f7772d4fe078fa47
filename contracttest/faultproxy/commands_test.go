package faultproxy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/contracttest/faultproxy"
)

func start(t *testing.T) (*server, *faultproxy.Proxy) {
	t.Helper()
	s := serve(t)
	return s, faultproxy.Start(t, s.Addr().String())
}

// Every fault of commands: what the client reads, how the connection then is,
// and whether the command ran. The reply of the command, undisturbed, is
// "+0123456789\r\n".
func TestCommandFaults(t *testing.T) {
	const reply = "+0123456789\r\n"
	const goesOn faultproxy.How = -1 // the connection works
	const silent faultproxy.How = -2 // the connection is open and silent, also after healing
	rst, fin := faultproxy.RST, faultproxy.FIN
	for name, row := range map[string]struct {
		fault faultproxy.Fault
		read  string
		then  faultproxy.How
		ran   int
	}{
		"none":                  {faultproxy.Fault{}, reply, goesOn, 1},
		"RST before":            {faultproxy.CutBefore(rst), "", rst, 0},
		"FIN before":            {faultproxy.CutBefore(fin), "", fin, 0},
		"RST after":             {faultproxy.CutAfter(rst), "", rst, 1},
		"FIN after":             {faultproxy.CutAfter(fin), "", fin, 1},
		"RST mid-reply":         {faultproxy.CutMidReply(4, rst), reply[:4], rst, 1},
		"FIN mid-reply":         {faultproxy.CutMidReply(4, fin), reply[:4], fin, 1},
		"FIN late in the reply": {faultproxy.CutMidReply(1000, fin), reply[:len(reply)-1], fin, 1},
		"lost request":          {faultproxy.LoseRequest(), "", silent, 0},
		"lost reply":            {faultproxy.LoseReply(), "", silent, 1},
		"HTTP":                  {faultproxy.Answer(faultproxy.GarbageHTTP), faultproxy.GarbageHTTP, goesOn, 0},
		"binary after":          {faultproxy.AnswerAfter(faultproxy.GarbageBinary), faultproxy.GarbageBinary, goesOn, 1},
		"wrong type":            {faultproxy.AnswerAfter(faultproxy.WrongArray), "*0\r\n", goesOn, 1},
		"error":                 {faultproxy.Answer(faultproxy.Error("LOADING wait")), "-LOADING wait\r\n", goesOn, 0},
		"error after":           {faultproxy.AnswerAfter(faultproxy.Error("READONLY no")), "-READONLY no\r\n", goesOn, 1},
		"latency":               {faultproxy.Latency(time.Millisecond), reply, goesOn, 1},
		"drip":                  {faultproxy.Drip(time.Millisecond), reply, goesOn, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := start(t)
			c := dial(t, p)
			p.Set(row.fault)
			n := dial(t, p) // the fault is for data alone
			c.send("RAW", reply)
			switch row.then {
			case goesOn:
				c.expect(row.read)
				c.expectSilence()
			case silent:
				c.expectSilence()
			default:
				c.expectEnd(row.read, row.then)
			}
			p.Heal()
			if row.then == silent {
				c.send("PING")
				c.expectSilence()
			}
			if row.then == goesOn {
				c.send("PING")
				c.expect("+PONG\r\n")
			}
			n.send("PING")
			n.expect("+PONG\r\n")
			raw := faultproxy.Names("raw")
			if ran, counted := s.executed("RAW"), p.Executions(raw); ran != row.ran || counted != row.ran {
				t.Errorf("the server ran it %d times, the proxy counted %d, want %d", ran, counted, row.ran)
			}
			if came := p.Came(raw); came != 1 {
				t.Errorf("%d came", came)
			}
		})
	}
}

func TestSelection(t *testing.T) {
	fault := faultproxy.Answer("-X\r\n")
	loading := fault.On(faultproxy.DataAndPing)
	script := "return 1"
	const sha = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"
	for name, row := range map[string]struct {
		fault faultproxy.Fault
		hit   string // for each of the commands
	}{
		"data":      {fault, "001111"},
		"all":       {fault.On(faultproxy.All), "111111"},
		"loading":   {loading, "011111"},
		"names":     {fault.On(faultproxy.Names("ping", "INCR")), "010011"},
		"a script":  {fault.On(faultproxy.Scripts(sha)), "001100"},
		"no script": {fault.On(faultproxy.Scripts("no")), "000000"},
		"scripts":   {fault.On(faultproxy.Scripts()), "001100"},
		"predicate": {fault.On(func(c faultproxy.Command) bool {
			return len(c.Args) > 2 && strings.HasPrefix(c.Args[2], "user:")
		}), "000100"},
		"next":     {fault.Next(2), "001100"},
		"the last": {fault.Skip(3), "000001"},
		"the 2nd":  {fault.Skip(1).Next(1), "000100"},
	} {
		t.Run(name, func(t *testing.T) {
			_, p := start(t)
			c := dial(t, p)
			p.Set(row.fault)
			hit := ""
			for i, command := range [][]string{
				{"HELLO", "3"},
				{"PING"},
				{"EVAL", script, "0"},
				{"EVALSHA", sha, "1", "user:1"},
				{"INCR", "n"},
				{"INCR", "n"},
			} {
				c.send(command...)
				b := make([]byte, 100)
				n, err := c.Read(b)
				if err != nil {
					t.Fatalf("command %d: %v", i, err)
				}
				if string(b[:n]) == "-X\r\n" {
					hit += "1"
				} else {
					hit += "0"
				}
			}
			if hit != row.hit {
				t.Errorf("hit %s, want %s", hit, row.hit)
			}
		})
	}
}

// What the proxy does itself keeps its place among what Redis answers.
func TestPipeline(t *testing.T) {
	ping := words("PING")
	for name, row := range map[string]struct {
		fault faultproxy.Fault
		read  string
		end   bool
	}{
		"answer":       {faultproxy.Answer("-X\r\n"), "+OK\r\n-X\r\n+PONG\r\n", false},
		"answer after": {faultproxy.AnswerAfter("-X\r\n"), "+OK\r\n-X\r\n+PONG\r\n", false},
		"cut before":   {faultproxy.CutBefore(faultproxy.RST), "+OK\r\n", true},
		"cut after":    {faultproxy.CutAfter(faultproxy.RST), "+OK\r\n", true},
		"lost":         {faultproxy.LoseRequest(), "+OK\r\n", false},
		"lost after":   {faultproxy.LoseReply(), "+OK\r\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := start(t)
			c := dial(t, p)
			p.Set(row.fault.On(faultproxy.Names("INCR")))
			c.sendRaw(words("WAIT") + words("INCR") + ping)
			c.expectSilence() // the answer of the second does not overtake the first
			s.proceed <- struct{}{}
			c.expect(row.read)
			if row.end {
				c.expectEnd("", faultproxy.RST)
			} else {
				c.expectSilence()
			}
		})
	}
}

func TestNothingRunsBehindACut(t *testing.T) {
	s, p := start(t)
	for _, how := range []faultproxy.How{faultproxy.RST, faultproxy.FIN} {
		c := dial(t, p)
		p.Set(faultproxy.CutBefore(how).On(faultproxy.Names("INCR")))
		c.sendRaw(words("INCR") + strings.Repeat(words("RAW", "+OK\r\n"), 20))
		c.expectEnd("", how)
		until(t, "Redis has seen it leave", func() bool { return s.open() == 0 })
	}
	if n := s.executed("RAW"); n != 0 {
		t.Errorf("%d ran", n)
	}
}

func TestLatency(t *testing.T) {
	_, p := start(t)
	c := dial(t, p)
	const late = 40 * time.Millisecond
	p.Set(faultproxy.Latency(late))
	began := time.Now()
	const batch = 50
	c.sendRaw(strings.Repeat(words("INCR"), batch))
	for i := range batch {
		c.expect(fmt.Sprintf(":%d\r\n", i+1))
	}
	if took := time.Since(began); took < late || took > batch/2*late {
		t.Errorf("a pipeline took %v, want a little more than %v", took, late)
	}
	// Healing lets go what would wait for an hour.
	p.Set(faultproxy.Latency(time.Hour))
	c.send("INCR")
	c.expectSilence()
	p.Heal()
	c.expect(fmt.Sprintf(":%d\r\n", batch+1))
}

func TestDrip(t *testing.T) {
	_, p := start(t)
	c := dial(t, p)
	p.Set(faultproxy.Drip(5 * time.Millisecond))
	began := time.Now()
	c.send("RAW", "+0123456789\r\n")
	c.expect("+0123456789\r\n")
	if took := time.Since(began); took < 12*5*time.Millisecond {
		t.Errorf("13 bytes took %v", took)
	}
	p.Set(faultproxy.Drip(time.Hour))
	c.send("RAW", "+0123456789\r\n")
	c.expect("+")
	c.expectSilence()
	p.Heal()
	c.expect("0123456789\r\n")
}

// Connections share a throttled line, and a small reply waits for no large one.
func TestThrottle(t *testing.T) {
	_, p := start(t)
	c, other := dial(t, p), dial(t, p)
	long := fmt.Sprintf("$%d\r\n%s\r\n", 100<<10, strings.Repeat("x", 100<<10))
	p.Set(faultproxy.Throttle(1 << 20))
	began := time.Now()
	c.send("RAW", long)
	other.send("RAW", long)
	c.expect(long)
	other.expect(long)
	if took, least := time.Since(began), 2*time.Second*time.Duration(len(long))/(1<<20); took < least {
		t.Errorf("two replies of %d bytes took %v, want %v or more", len(long), took, least)
	}
	p.Set(faultproxy.Throttle(1 << 10))
	c.send("PING")
	c.expect("+PONG\r\n")
	c.send("RAW", long) // a command as long, which the line carries first
	c.expectSilence()
	p.Heal()
	c.expect(long)
}

func TestLatencyOutlivesTheClient(t *testing.T) {
	s, p := start(t)
	c := dial(t, p)
	p.Set(faultproxy.Latency(time.Hour))
	c.send("INCR")
	until(t, "it came", func() bool { return p.Came(faultproxy.Names("INCR")) == 1 })
	_ = c.Close()
	until(t, "the client has left", func() bool { return open(p) == 0 })
	p.Heal()
	until(t, "the late command is counted", func() bool { return p.Executions(faultproxy.Names("INCR")) == 1 })
	if s.executed("INCR") != 1 {
		t.Error("it did not run")
	}
}
