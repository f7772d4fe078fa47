package entra

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
)

// azure is a Redis that takes the tokens of an issuer as passwords until they expire,
// and then closes the connections that signed in with them, as Azure does. It speaks
// TLS.
type azure struct {
	addr  string
	certs *faultproxy.Certificates

	mu      sync.Mutex
	expires map[string]time.Time // by token
	open    map[net.Conn]bool
	ended   int // connections that were closed because their token expired
	running sync.WaitGroup
}

// startAzure starts one for an issuer.
func startAzure(t *testing.T, i *issuer) *azure {
	t.Helper()
	server := redistest.Start(t)
	c := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = c.Close() })
	user := func(rule string) {
		err := c.Do(context.Background(), "ACL", "SETUSER", identity, "on", "~*", "+@all", rule).Err()
		if err != nil && !errors.Is(err, goredis.ErrClosed) { // a token may expire while the test ends
			t.Errorf("ACL SETUSER: %v", err)
		}
	}
	a := &azure{certs: faultproxy.NewCertificates(t), expires: map[string]time.Time{}, open: map[net.Conn]bool{}}
	var timers []*time.Timer
	i.issued = func(token string, expires time.Time) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.expires[token] = expires
		user(">" + token)
		timers = append(timers, time.AfterFunc(time.Until(expires), func() { user("<" + token) }))
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", a.certs.Good)
	if err != nil {
		t.Fatal(err)
	}
	a.addr = l.Addr().String()
	a.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			a.running.Go(func() { a.serve(conn, server.Addr()) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		a.cut()
		a.running.Wait()
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, timer := range timers {
			timer.Stop()
		}
	})
	return a
}

// cut closes all connections.
func (a *azure) cut() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for conn := range a.open {
		_ = conn.Close()
	}
}

// serve forwards a connection to Redis until its token expires.
func (a *azure) serve(conn net.Conn, redis string) {
	server, err := net.Dial("tcp", redis) //nolint:noctx // ends with the connection
	if err != nil {
		_ = conn.Close()
		return
	}
	a.mu.Lock()
	a.open[conn] = true
	a.mu.Unlock()
	replies := make(chan struct{})
	go func() {
		defer close(replies)
		_, _ = io.Copy(conn, server)
		_ = conn.Close()
	}()
	a.forward(conn, server)
	_, _ = conn.Close(), server.Close()
	<-replies
	a.mu.Lock()
	delete(a.open, conn)
	a.mu.Unlock()
}

// forward forwards commands and reads those that sign in.
func (a *azure) forward(conn net.Conn, server io.Writer) {
	var end *time.Timer
	defer func() {
		if end != nil {
			end.Stop()
		}
	}()
	for r := bufio.NewReader(conn); ; {
		args, raw, err := readCommand(r)
		if err != nil {
			return
		}
		if token := passwordOf(args); token != "" {
			a.mu.Lock()
			left := time.Until(a.expires[token])
			a.mu.Unlock()
			if end != nil {
				end.Stop()
			}
			end = time.AfterFunc(left, func() {
				a.mu.Lock()
				a.ended++
				a.mu.Unlock()
				_ = conn.Close()
			})
		}
		if _, err := server.Write(raw); err != nil {
			return
		}
	}
}

// readCommand reads one command, an array of strings, as it is and in parts.
func readCommand(r *bufio.Reader) (args []string, raw []byte, err error) {
	var all bytes.Buffer
	number := func() (int, error) {
		line, err := r.ReadString('\n')
		if err != nil || len(line) < 4 {
			return 0, io.ErrUnexpectedEOF
		}
		all.WriteString(line)
		return strconv.Atoi(strings.TrimSpace(line[1:]))
	}
	n, err := number()
	for range n {
		size, err := number()
		if err != nil {
			return nil, nil, err
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, nil, err
		}
		all.Write(b)
		args = append(args, string(b[:size]))
	}
	return args, all.Bytes(), err
}

// passwordOf is what HELLO or AUTH signs in with, "" if the command does not.
func passwordOf(args []string) string {
	switch {
	case strings.EqualFold(args[0], "auth"):
		return args[len(args)-1]
	case strings.EqualFold(args[0], "hello"):
		for i, a := range args {
			if strings.EqualFold(a, "auth") && i+2 < len(args) {
				return args[i+2]
			}
		}
	}
	return ""
}

// tokens are all that were issued.
func (a *azure) tokens() (all []string, last time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for token, expires := range a.expires {
		all = append(all, token)
		if expires.After(last) {
			last = expires
		}
	}
	return all, last
}

func (a *azure) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return fmt.Sprintf("%d tokens, %d connections closed at their end", len(a.expires), a.ended)
}
