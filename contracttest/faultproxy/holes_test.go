package faultproxy_test

import (
	"crypto/tls"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"parley/contracttest/faultproxy"
)

func TestBlackHoleOfWarmConnections(t *testing.T) {
	for name, row := range map[string]struct {
		half faultproxy.Direction
		runs int
	}{
		"requests": {faultproxy.Requests, 0},
		"replies":  {faultproxy.Replies, 1},
		"both":     {faultproxy.Both, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := start(t)
			stays, leaves := dial(t, p), dial(t, p)
			p.Set(faultproxy.BlackHole(row.half, faultproxy.AllConns))
			for _, c := range []*client{stays, leaves} {
				c.send("RAW", "+hello\r\n")
				c.expectSilence()
			}
			if n := s.executed("RAW"); n != 2*row.runs {
				t.Fatalf("%d ran, want %d", n, 2*row.runs)
			}
			_ = leaves.Close()
			until(t, "one has left", func() bool { return open(p) == 1 })
			// Nothing is kept for it until the fault has gone.
			until(t, "Redis has seen it leave", func() bool { return s.open() == 1 })
			p.Heal()
			// What was swallowed arrives, if somebody is there.
			stays.expect("+hello\r\n")
			stays.send("PING")
			stays.expect("+PONG\r\n")
			if n, want := p.Executions(faultproxy.Names("RAW")), 1+row.runs; n != want {
				t.Errorf("%d ran in all, want %d: what its client has given up is dropped", n, want)
			}
		})
	}
}

// A Redis that hangs and is then killed answers nothing in between.
func TestBlackHoleIsRefused(t *testing.T) {
	s, p := start(t)
	for range 100 {
		p.Set(faultproxy.Fault{})
		var held []*client
		for range 4 {
			held = append(held, dial(t, p))
		}
		p.Set(faultproxy.BlackHole(faultproxy.Requests, faultproxy.AllConns))
		for _, c := range held {
			c.send("RAW", "+hello\r\n")
		}
		p.Set(faultproxy.Refuse())
		for _, c := range held {
			c.expectEnd("", faultproxy.RST)
		}
	}
	if n := s.executed("RAW"); n != 0 {
		t.Errorf("%d ran", n)
	}
}

// A connection that Redis ends while a black hole has it stays open for the
// client.
func TestBlackHoleSwallowsTheEnd(t *testing.T) {
	_, p := start(t)
	c := dial(t, p)
	p.Set(faultproxy.BlackHole(faultproxy.Replies, faultproxy.OldConns))
	c.send("BYE")
	c.expectSilence()
	p.Heal()
	c.expectEnd("", faultproxy.FIN)
}

func TestHalfOpen(t *testing.T) {
	s, p := start(t)
	old := dial(t, p)
	p.Set(faultproxy.HalfOpen())
	old.send("INCR")
	old.expectSilence()
	young := dial(t, p)
	young.send("PING")
	young.expect("+PONG\r\n")
	if s.executed("INCR") != 0 {
		t.Error("it ran")
	}
}

func TestBlackHoleOfNewConnections(t *testing.T) {
	for name, row := range map[string]struct {
		half faultproxy.Direction
		runs int // of two, while the fault stands
	}{
		"requests": {faultproxy.Requests, 0},
		"replies":  {faultproxy.Replies, 2},
		"both":     {faultproxy.Both, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := start(t)
			old := dial(t, p)
			p.Set(faultproxy.BlackHole(row.half, faultproxy.NewConns))
			stays, leaves := rawDial(t, p), rawDial(t, p)
			for _, c := range []*client{stays, leaves} {
				c.send("RAW", "+hello\r\n")
				c.expectSilence()
			}
			if n := s.executed("RAW"); n != row.runs {
				t.Errorf("%d ran, want %d", n, row.runs)
			}
			old.send("PING")
			old.expect("+PONG\r\n")
			_ = leaves.Close()
			until(t, "one has left", func() bool { return open(p) == 2 })
			p.Heal()
			stays.expect("+hello\r\n")
			if n, want := p.Executions(faultproxy.Names("RAW")), max(row.runs, 1); n != want {
				t.Errorf("%d ran in all, want %d: what its client has given up is dropped", n, want)
			}
		})
	}
}

// Over TLS a black hole of either direction lets no handshake through.
func TestBlackHoleOfHandshakes(t *testing.T) {
	certs := faultproxy.NewCertificates(t)
	for _, half := range []faultproxy.Direction{faultproxy.Requests, faultproxy.Replies, faultproxy.Both} {
		s := serve(t)
		p := faultproxy.Start(t, s.Addr().String(), faultproxy.WithTLS(certs.Good))
		p.Set(faultproxy.BlackHole(half, faultproxy.NewConns))
		stays, leaves := rawDial(t, p).secure(certs), rawDial(t, p).secure(certs)
		stayed, left := stays.shake(), leaves.shake()
		select {
		case err := <-stayed:
			t.Fatalf("a handshake came out of the hole: %v", err)
		case <-time.After(quiet):
		}
		_ = leaves.Conn.(*tls.Conn).NetConn().Close()
		if err := get(t, "the handshake to fail", left); err == nil {
			t.Error("a handshake on a closed connection")
		}
		until(t, "one has left", func() bool { return open(p) == 1 })
		p.Heal()
		if err := get(t, "the handshake", stayed); err != nil {
			t.Fatal(err)
		}
		stays.send("PING")
		stays.expect("+PONG\r\n")
		if opened, _ := p.Conns(); opened != 2 || s.open() != 1 {
			t.Errorf("%d connections came, %d went on to Redis, want 2 and 1", opened, s.open())
		}
	}
}

// shake begins the handshake of a TLS client.
func (c *client) shake() <-chan error {
	done := make(chan error, 1)
	go func() { done <- c.Conn.(*tls.Conn).HandshakeContext(c.tb.Context()) }()
	return done
}

// Every wait ends with the proxy, and it says so to those that wait for it.
func TestCloseEndsEveryWait(t *testing.T) {
	for name, set := range map[string]func(*faultproxy.Proxy){
		"no fault":      func(*faultproxy.Proxy) {},
		"black hole":    func(p *faultproxy.Proxy) { p.Set(faultproxy.BlackHole(faultproxy.Both, faultproxy.AllConns)) },
		"lost replies":  func(p *faultproxy.Proxy) { p.Set(faultproxy.BlackHole(faultproxy.Replies, faultproxy.AllConns)) },
		"latency":       func(p *faultproxy.Proxy) { p.Set(faultproxy.Latency(time.Hour)) },
		"drip":          func(p *faultproxy.Proxy) { p.Set(faultproxy.Drip(time.Hour)) },
		"lost reply":    func(p *faultproxy.Proxy) { p.Set(faultproxy.LoseReply()) },
		"gate":          func(p *faultproxy.Proxy) { p.Hold(faultproxy.All) },
		"gate of reply": func(p *faultproxy.Proxy) { p.HoldReply(faultproxy.All) },
		"hung dials":    func(p *faultproxy.Proxy) { p.Set(faultproxy.HangDials()) },
		"refused":       func(p *faultproxy.Proxy) { p.Set(faultproxy.Refuse()) },
	} {
		t.Run(name, func(t *testing.T) {
			_, p := start(t)
			c := dial(t, p)
			saw := p.Saw(faultproxy.Names("NEVER"))
			set(p)
			_, _ = io.WriteString(c.Conn, words("INCR")+words("INCR")) // a refusing proxy has reset it
			if conn, err := tryDial(t, p, quiet); err == nil {
				defer func() { _ = conn.Close() }()
				_, _ = io.WriteString(conn, words("INCR"))
			}
			p.Close()
			if _, open := p.Conns(); open != 0 {
				t.Errorf("%d connections are open", open)
			}
			_ = c.SetReadDeadline(time.Now().Add(patience))
			for {
				if _, err := c.Read(make([]byte, 100)); err != nil {
					if errors.Is(err, os.ErrDeadlineExceeded) {
						t.Error("the connection was left open")
					}
					break
				}
			}
			if _, ok := <-saw; ok {
				t.Error("saw a command that never came")
			}
		})
	}
}
