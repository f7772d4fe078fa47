package main

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are pipes: in a synctest bubble, time
// stands still while both ends work.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }
func (p *pipes) dial() net.Conn {
	here, there := net.Pipe()
	p.conns <- there
	return here
}

// bubble serves a handler over pipes, with as many connections as limit says.
func bubble(t *testing.T, limit int, h http.HandlerFunc, test func(t *testing.T, p *pipes, conns *connections)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		web, conns := newWeb(h, limit, slog.New(slog.DiscardHandler))
		served := make(chan struct{})
		go func() { defer close(served); _ = web.Serve(p) }()
		test(t, p, conns)
		_ = web.Close()
		<-served
		<-time.After(time.Minute) // of the bubble: what the server still closes is closed by then
	})
}

// ended says how long a connection took to be closed from the other side.
func ended(c net.Conn) time.Duration {
	began := time.Now()
	_, _ = io.Copy(io.Discard, c)
	return time.Since(began)
}

// drip sends a byte every second for as long as somebody takes it.
func drip(c net.Conn, text string) {
	for i := 0; ; i = (i + 1) % len(text) {
		if _, err := c.Write([]byte{text[i]}); err != nil {
			return
		}
		time.Sleep(time.Second) // of the bubble
	}
}

// A client that takes its time is not waited for, whatever it is slow with.
func TestSlowClients(t *testing.T) {
	readsAll := func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, err == nil)
	}
	const head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
	for name, c := range map[string]struct {
		sends string
		then  string // byte by byte
		limit time.Duration
	}{
		"says nothing":      {"", "", 10 * time.Second},
		"half a head":       {head, "", 10 * time.Second},
		"head, bit by bit":  {head, "X-A: b\r\n", 10 * time.Second},
		"no body":           {head + "\r\n", "", 30 * time.Second},
		"body, bit by bit":  {head + "\r\n", "x", 30 * time.Second},
		"asks and stays":    {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "", 120 * time.Second},
		"half a second one": {"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /", "", 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, readsAll, func(t *testing.T, p *pipes, conns *connections) {
				held(t, p, conns, c.sends, c.then, c.limit)
			})
		})
	}
}

// held sends something, and then something more byte by byte, and checks that the
// connection is not kept longer than limit.
func held(t *testing.T, p *pipes, conns *connections, sends, then string, limit time.Duration) {
	t.Helper()
	conn := p.dial()
	defer func() { _ = conn.Close() }()
	go func() {
		_, _ = io.WriteString(conn, sends)
		if then != "" {
			drip(conn, then)
		}
	}()
	if took := ended(conn); took > limit+time.Second {
		t.Errorf("it was held for %v, want at most %v", took, limit)
	}
	synctest.Wait()
	if conns.open != 0 {
		t.Errorf("%d connections are open", conns.open)
	}
}

// A head that has no end is refused before it takes memory.
func TestEndlessHead(t *testing.T) {
	bubble(t, 1, func(http.ResponseWriter, *http.Request) { t.Error("handled") }, func(t *testing.T, p *pipes, _ *connections) {
		conn := p.dial()
		sent := make(chan int)
		go func() {
			n, _ := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("x", 1<<20))
			sent <- n
		}()
		answer, _ := bufio.NewReader(conn).ReadString('\n')
		_ = conn.Close()
		if n := <-sent; !strings.Contains(answer, "431") || n > 128<<10 {
			t.Errorf("after %d bytes: %q", n, answer)
		}
	})
}

// Ten thousand connections against room for ten: the ten are kept and served,
// the others closed at once, and their room is free again.
func TestTenThousandConnections(t *testing.T) {
	const room, many = 10, 10_000
	hello := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }
	bubble(t, room, hello, func(t *testing.T, p *pipes, conns *connections) {
		ask := func(c net.Conn) bool {
			go func() { _, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") }()
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				return false
			}
			_ = resp.Body.Close()
			return resp.StatusCode == http.StatusOK
		}
		var kept []net.Conn
		for range room {
			kept = append(kept, p.dial())
		}
		for range many - room {
			c := p.dial()
			if took := ended(c); took != 0 {
				t.Fatalf("one too many is held for %v", took)
			}
			_ = c.Close()
		}
		synctest.Wait()
		if conns.open != room {
			t.Errorf("%d connections are open", conns.open)
		}
		for _, c := range kept {
			if !ask(c) {
				t.Error("one that was there first is not served")
			}
			_ = c.Close()
		}
		synctest.Wait()
		c := p.dial()
		if !ask(c) {
			t.Error("there is no room although all have left")
		}
		_ = c.Close()
	})
}
