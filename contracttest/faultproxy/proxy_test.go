package faultproxy_test

import (
	"bufio"
	"crypto/sha1"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
)

// Without a fault everything passes as it is, pushes before, between and behind
// the replies as well.
func TestTransparent(t *testing.T) {
	_, p := start(t)
	c := dial(t, p)
	for _, reply := range []string{
		"%1\r\n+a\r\n*2\r\n,1.5\r\n_\r\n", "|1\r\n+a\r\n+b\r\n$2\r\nxy\r\n", "$-1\r\n",
		">1\r\n+before\r\n+OK\r\n", "$1000000\r\n" + strings.Repeat("x", 1_000_000) + "\r\n",
	} {
		c.send("RAW", reply)
		c.expect(reply)
	}
	c.send("RAW", "+OK\r\n>1\r\n+behind\r\n")
	c.expect("+OK\r\n>1\r\n+behind\r\n")
	// A push is nobody's reply: the faults of the next command stay the next one's.
	p.Set(faultproxy.AnswerAfter("-X\r\n").Next(1))
	c.send("RAW", ">1\r\n+push\r\n+OK\r\n")
	c.expect(">1\r\n+push\r\n-X\r\n")
	c.send("RAW", "+OK\r\n")
	c.expect("+OK\r\n")
}

func TestTooLongCommandEndsTheConnection(t *testing.T) {
	s, p := start(t)
	c := dial(t, p)
	c.sendRaw("*2\r\n$4\r\nINCR\r\n$999999999\r\n")
	c.expectEnd("", faultproxy.RST)
	c = dial(t, p)
	c.sendRaw("*1\r\n:1\r\n")
	c.expectEnd("", faultproxy.RST)
	if s.executed("INCR") != 0 {
		t.Error("it ran")
	}
}

// A client that ends its half still gets what it asked for.
func TestHalfClose(t *testing.T) {
	_, p := start(t)
	c := dial(t, p)
	c.send("INCR")
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	c.expectEnd(":1\r\n", faultproxy.FIN)
}

// Faults come and go under load: nothing deadlocks, no reply is given to the
// wrong command, and afterwards all is well.
func TestFaultsUnderLoad(t *testing.T) {
	s, p := start(t)
	done := make(chan struct{})
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if conn, err := tryDial(t, p, quiet); err == nil {
					converse(t, conn)
					_ = conn.Close()
				}
			}
		})
	}
	rst, fin := faultproxy.RST, faultproxy.FIN
	for range 3 {
		for _, f := range []faultproxy.Fault{
			faultproxy.Refuse(), faultproxy.HangDials(), faultproxy.CloseOnAccept(fin), faultproxy.HalfOpen(),
			faultproxy.BlackHole(faultproxy.Requests, faultproxy.AllConns), faultproxy.BlackHole(faultproxy.Replies, faultproxy.NewConns),
			faultproxy.CutBefore(fin), faultproxy.CutMidReply(2, rst), faultproxy.CutAfter(fin), faultproxy.LoseReply(),
			faultproxy.LoseRequest().Next(3), faultproxy.Latency(time.Millisecond), faultproxy.Drip(time.Millisecond),
			faultproxy.AnswerAfter("-X\r\n"),
			{},
		} {
			came := p.Saw(faultproxy.All)
			p.Set(f)
			select { // some faults let nothing through
			case <-came:
			case <-time.After(5 * time.Millisecond):
			}
			p.KillConns(rst)
		}
		p.Hold(faultproxy.Data)
		p.Heal()
	}
	close(done)
	callers.Wait()
	until(t, "all have left", func() bool { return open(p) == 0 })
	c := dial(t, p)
	before := p.Executions(faultproxy.Names("INCR"))
	c.send("INCR")
	c.expect(":")
	until(t, "it is counted", func() bool { return p.Executions(faultproxy.Names("INCR")) == before+1 })
	if ran, counted := s.executed("INCR"), before+1; ran < counted {
		t.Errorf("%d were counted and %d ran", counted, ran)
	}
}

// converse asks until something goes wrong, and looks that each reply belongs
// to its command.
func converse(t *testing.T, conn net.Conn) {
	r := bufio.NewReader(conn)
	for range 50 {
		_ = conn.SetDeadline(time.Now().Add(quiet))
		if _, err := io.WriteString(conn, words("INCR")+words("PING")); err != nil {
			return
		}
		for _, kinds := range []string{":-", "+"} {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if !strings.Contains(kinds, line[:1]) {
				t.Errorf("read %q, want a line of %q", line, kinds)
				return
			}
		}
	}
}

func TestRealRedis(t *testing.T) {
	redis := redistest.Start(t)
	p := faultproxy.Start(t, redis.Addr())
	c := rawDial(t, p)
	c.send("HELLO", "3")
	c.expect("%7\r\n$6\r\nserver\r\n")
	r := bufio.NewReader(c.Conn)
	_ = c.SetDeadline(time.Now().Add(patience))
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == "modules\r\n" { // the last key, with an empty list
			break
		}
	}
	rest := make([]byte, len("*0\r\n"))
	if _, err := io.ReadFull(r, rest); err != nil || r.Buffered() > 0 {
		t.Fatalf("read %q and %v", rest, err)
	}

	const script = "return redis.call('INCR', KEYS[1])"
	sha := fmt.Sprintf("%x", sha1.Sum([]byte(script)))
	c.send("EVALSHA", sha, "1", "n")
	c.expect("-NOSCRIPT No matching script. Please use EVAL.\r\n")
	c.send("EVAL", script, "1", "n")
	c.expect(":1\r\n")
	c.sendRaw(words("GET", "n") + words("GET", "missing") + words("HGETALL", "missing") + "PING\r\n")
	c.expect("$1\r\n1\r\n_\r\n%0\r\n+PONG\r\n")
	if n := p.Executions(faultproxy.Scripts(sha)); n != 1 {
		t.Errorf("%d scripts ran, want 1", n)
	}

	// A push that nobody asked for at that moment.
	c.send("CLIENT", "TRACKING", "ON")
	c.expect("+OK\r\n")
	c.send("GET", "n")
	c.expect("$1\r\n1\r\n")
	other := dial(t, p)
	other.send("INCR", "n")
	other.expect(":2\r\n")
	c.expect(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nn\r\n")

	// Executed, and the reply lost; Redis says so itself.
	p.Set(faultproxy.CutAfter(faultproxy.RST).On(faultproxy.Names("INCR")))
	other.send("INCR", "n")
	other.expectEnd("", faultproxy.RST)
	c.send("GET", "n")
	c.expect("$1\r\n3\r\n")
}

// The tiny server answers at once, so the difference is what the proxy costs.
func BenchmarkPing(b *testing.B) {
	s := serve(b)
	p := faultproxy.Start(b, s.Addr().String())
	ping := []byte(words("PING"))
	for name, addr := range map[string]string{"direct": s.Addr().String(), "proxied": p.Addr()} {
		b.Run(name, func(b *testing.B) {
			c, err := (&net.Dialer{}).DialContext(b.Context(), "tcp4", addr)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			reply := make([]byte, len("+PONG\r\n"))
			for b.Loop() {
				if _, err := c.Write(ping); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(c, reply); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
