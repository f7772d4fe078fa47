package faultproxy_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/contracttest/faultproxy"
)

// patience is how long a test waits for what must happen; quiet how long it
// watches that nothing does.
const (
	patience = 5 * time.Second
	quiet    = 30 * time.Millisecond
)

// server is as much of a Redis as the tests need, with a reader of its own, so
// that it cannot share a mistake with the proxy's. It answers PING, INCR and
// EVALSHA (a number that counts them), RAW (with the bytes of its argument,
// whatever they are), WAIT (+OK, when the test says so), BYE (by closing) and
// ABORT (by a reset).
type server struct {
	net.Listener
	proceed chan struct{} // of WAIT

	mu    sync.Mutex
	ran   map[string]int // by name
	conns map[net.Conn]struct{}
	tasks sync.WaitGroup
}

// serve starts a server, and looks for goroutines that are left when the test
// and everything that was started after have ended.
func serve(tb testing.TB) *server {
	tb.Helper()
	current := goleak.IgnoreCurrent()
	tb.Cleanup(func() { goleak.VerifyNone(tb, current) })
	l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := &server{Listener: l, proceed: make(chan struct{}, 100), ran: map[string]int{}, conns: map[net.Conn]struct{}{}}
	s.tasks.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = struct{}{}
			s.mu.Unlock()
			s.tasks.Go(func() { s.talk(c) })
		}
	})
	tb.Cleanup(s.stop)
	return s
}

// stop ends the server and its connections.
func (s *server) stop() {
	_ = s.Close()
	close(s.proceed)
	s.hangUp()
	s.tasks.Wait()
}

// hangUp closes all connections.
func (s *server) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

// open is how many connections there are.
func (s *server) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (s *server) talk(c net.Conn) {
	defer func() {
		_ = c.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
	}()
	r := bufio.NewReader(c)
	for {
		words, err := readWords(r)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.ran[words[0]]++
		n := s.ran[words[0]]
		s.mu.Unlock()
		reply := fmt.Sprintf(":%d\r\n", n)
		switch words[0] {
		case "PING":
			reply = "+PONG\r\n"
		case "HELLO":
			reply = "+OK\r\n"
		case "RAW":
			reply = words[1]
		case "WAIT":
			<-s.proceed
			reply = "+OK\r\n"
		case "ABORT":
			_ = c.(*net.TCPConn).SetLinger(0)
			return
		case "BYE":
			return
		}
		if _, err := io.WriteString(c, reply); err != nil {
			return
		}
	}
}

// readWords reads an array of strings.
func readWords(r *bufio.Reader) ([]string, error) {
	number := func() (int, error) {
		line, err := r.ReadString('\n')
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(strings.TrimSpace(line[1:]))
	}
	n, err := number()
	if err != nil {
		return nil, err
	}
	words := make([]string, n)
	for i := range words {
		size, err := number()
		if err != nil {
			return nil, err
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		words[i] = string(b[:size])
	}
	return words, nil
}

// executed is how often a command ran.
func (s *server) executed(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ran[name]
}

// client is a connection that says what a test expects of it.
type client struct {
	net.Conn
	tb testing.TB
}

// dial connects to a proxy, and knows that it arrived when it has an answer.
func dial(tb testing.TB, p *faultproxy.Proxy) *client {
	tb.Helper()
	c := rawDial(tb, p)
	c.send("PING")
	c.expect("+PONG\r\n")
	return c
}

// rawDial connects and says nothing.
func rawDial(tb testing.TB, p *faultproxy.Proxy) *client {
	tb.Helper()
	c, err := tryDial(tb, p, patience)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return &client{c, tb}
}

func tryDial(tb testing.TB, p *faultproxy.Proxy, timeout time.Duration) (net.Conn, error) {
	tb.Helper()
	return (&net.Dialer{Timeout: timeout}).DialContext(tb.Context(), "tcp4", p.Addr())
}

// secure makes a TLS client of a connection.
func (c *client) secure(certs *faultproxy.Certificates) *client {
	config := &tls.Config{RootCAs: certs.Pool, ServerName: "127.0.0.1", MaxVersion: tls.VersionTLS12}
	return &client{tls.Client(c.Conn, config), c.tb}
}

func words(words ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	return b.String()
}

func (c *client) send(command ...string) {
	c.tb.Helper()
	c.sendRaw(words(command...))
}

func (c *client) sendRaw(text string) {
	c.tb.Helper()
	if _, err := io.WriteString(c.Conn, text); err != nil {
		c.tb.Fatalf("send: %v", err)
	}
}

// expect reads as many bytes as are wanted, and compares them.
func (c *client) expect(want string) {
	c.tb.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	got := make([]byte, len(want))
	n, err := io.ReadFull(c.Conn, got)
	if err != nil || string(got) != want {
		c.tb.Fatalf("read %q and %v, want %q", got[:n], err, want)
	}
}

// expectEnd reads these bytes and then the end that h stands for.
func (c *client) expectEnd(before string, h faultproxy.How) {
	c.tb.Helper()
	c.expect(before)
	n, err := c.Read(make([]byte, 1))
	right := errors.Is(err, syscall.ECONNRESET)
	if h == faultproxy.FIN {
		// tls.Conn gives io.EOF only after a close_notify.
		right = err == io.EOF //nolint:errorlint // a wrapped one is another end
	}
	if n != 0 || !right {
		c.tb.Fatalf("read %d bytes and %v, want the end (%d)", n, err, h)
	}
}

// keepSending sends for a while, long enough for a RST to come back.
func (c *client) keepSending() {
	c.tb.Helper()
	for began := time.Now(); time.Since(began) < quiet; {
		c.send("PING")
	}
}

// expectSilence watches that nothing comes for a while.
func (c *client) expectSilence() {
	c.tb.Helper()
	_ = c.SetReadDeadline(time.Now().Add(quiet))
	var timeout net.Error
	if n, err := c.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
		c.tb.Fatalf("read %d bytes and %v, want silence", n, err)
	}
}

// until waits for something that another goroutine does.
func until(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	deadline, tick := time.After(patience), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatalf("waited in vain until %s", what)
		}
	}
}

// open is how many connections the proxy has.
func open(p *faultproxy.Proxy) int {
	_, n := p.Conns()
	return n
}

func get[T any](tb testing.TB, what string, ch <-chan T) T {
	tb.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		tb.Fatalf("waited in vain for %s", what)
		panic("not reached")
	}
}
