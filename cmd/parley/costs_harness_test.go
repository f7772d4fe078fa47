package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	goredis "github.com/redis/go-redis/v9"
)

// cannedAgent answers every request with the same bytes. It allocates nothing while it
// does, so that all that is allocated in this process is the service's.
type cannedAgent struct {
	url string
	got atomic.Int64 // bytes of requests
}

// cannedAnswer is one message, as Copilot Studio writes it.
const cannedAnswer = `event: activity
data: {"type":"message","id":"b0a1c2d3-0000-4000-8000-000000000001","timestamp":"2026-01-01T00:00:00.000Z","channelId":"pva-studio","from":{"id":"agent","name":"Agent","role":"bot"},"conversation":{"id":"b0a1c2d3-0000-4000-8000-000000000000"},"textFormat":"markdown","text":"You said hello there, and this is what there is to say about it.","attachments":[],"entities":[],"replyToId":"b0a1c2d3-0000-4000-8000-000000000002"}

event: end
data: end

`

func newCannedAgent(t *testing.T) *cannedAgent {
	t.Helper()
	answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Ms-Conversationid: b0a1c2d3-0000-4000-8000-000000000000\r\n"+
		"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(cannedAnswer), cannedAnswer)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &cannedAgent{url: "http://" + l.Addr().String() + "/agent"}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go a.serve(conn, answer)
		}
	}()
	return a
}

// serve answers until the client closes the connection.
func (a *cannedAgent) serve(conn net.Conn, answer []byte) {
	defer func() { _ = conn.Close() }()
	buffer := make([]byte, 64<<10)
	for have := 0; ; {
		size, whole := sizeOf(buffer[:have])
		if whole {
			a.got.Add(int64(size))
			have = copy(buffer, buffer[size:have])
			if _, err := conn.Write(answer); err != nil {
				return
			}
			continue
		}
		n, err := conn.Read(buffer[have:])
		if err != nil {
			return
		}
		have += n
	}
}

// sizeOf is how long the first message of HTTP/1.1 is, and whether all of it is there.
// Without a length it is in chunks, and the last of what is there.
func sizeOf(b []byte) (size int, whole bool) {
	head := bytes.Index(b, []byte("\r\n\r\n"))
	if head < 0 {
		return 0, false
	}
	size = head + len("\r\n\r\n")
	name := []byte("\r\nContent-Length: ")
	at := bytes.Index(b[:head+2], name)
	switch {
	case at >= 0:
		n := 0
		for _, c := range b[at+len(name):] {
			if c < '0' || c > '9' {
				break
			}
			n = 10*n + int(c-'0')
		}
		size += n
	case bytes.Contains(b[:head], []byte("chunked")):
		// The empty chunk, perhaps trailers, an empty line.
		return len(b), bytes.Contains(b[head:], []byte("\r\n0\r\n")) && bytes.HasSuffix(b, []byte("\r\n\r\n"))
	}
	return size, len(b) >= size
}

// plainCaller is one connection to the service, which allocates nothing either.
type plainCaller struct {
	conn   net.Conn
	buffer []byte
}

func newPlainCaller(t *testing.T, addr string) *plainCaller {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &plainCaller{conn, make([]byte, 1<<20)}
}

// ask gives the answer as it came, until the next.
func (c *plainCaller) ask(request []byte) ([]byte, error) {
	if _, err := c.conn.Write(request); err != nil {
		return nil, err
	}
	for have := 0; ; {
		n, err := c.conn.Read(c.buffer[have:])
		if err != nil {
			return nil, err
		}
		have += n
		if size, whole := sizeOf(c.buffer[:have]); whole {
			if !bytes.HasPrefix(c.buffer, []byte("HTTP/1.1 20")) {
				return nil, errors.New(string(c.buffer[:size]))
			}
			return c.buffer[:size], nil
		}
	}
}

// written is a request as it is sent.
func written(method, path, body string, header ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: localhost\r\n", method, path)
	if method != http.MethodGet {
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	for i := 0; i < len(header); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", header[i], header[i+1])
	}
	b.WriteString("\r\n" + body)
	return b.Bytes()
}

// countedListener counts what is written to its connections, each time by a system call.
type countedListener struct {
	net.Listener
	writes, bytes atomic.Int64
}

// Accept implements net.Listener.
func (l *countedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return &countedConn{conn, l}, err
}

type countedConn struct {
	net.Conn
	l *countedListener
}

// Write implements net.Conn.
func (c *countedConn) Write(b []byte) (int, error) {
	// Before, because whoever reads it may look at once.
	c.l.writes.Add(1)
	c.l.bytes.Add(int64(len(b)))
	return c.Conn.Write(b)
}

// newCountedService is the program on a listener that counts. Nothing of it runs in the
// background, so that all it does is for a request.
func newCountedService(t *testing.T, pairs ...string) *countedListener {
	t.Helper()
	c, err := load(env(settingsOf(pairs)...))
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.WithoutCancel(t.Context())
	s, err := newService(ctx, c, seams{}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.discard(ctx) })
	inner, err := listen(ctx, "127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	l := &countedListener{Listener: inner}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.web.Serve(l) }()
	t.Cleanup(func() {
		_ = s.web.Close()
		<-ended
	})
	return l
}

// redisWork is what a Redis has done so far.
type redisWork struct {
	commands map[string]int // by name, those that scripts call as well
	in, out  int            // bytes
}

func workOf(t *testing.T, admin *goredis.Client) redisWork {
	t.Helper()
	text, err := admin.InfoMap(t.Context(), "stats", "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	w := redisWork{commands: map[string]int{}}
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	w.in, w.out = number(text["Stats"]["total_net_input_bytes"]), number(text["Stats"]["total_net_output_bytes"])
	for name, value := range text["Commandstats"] {
		calls, _, _ := strings.Cut(strings.TrimPrefix(value, "calls="), ",")
		w.commands[strings.TrimPrefix(name, "cmdstat_")] = number(calls)
	}
	return w
}
