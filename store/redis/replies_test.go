package redis

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest/redistest"
	"parley/store"
)

// A reply that announces more than there is room for is not understood, and
// takes no memory.
func TestHugeReplies(t *testing.T) {
	for name, reply := range map[string]string{
		"an array":           "*20000000\r\n",
		"a long array":       "*1000000000\r\n",
		"a set":              "~1000000000\r\n",
		"a push":             ">1000000000\r\n",
		"a map":              "%99999999999\r\n",
		"attributes":         "|99999999999\r\n",
		"a string":           "$999999999\r\n",
		"a verbatim string":  "=999999999\r\n",
		"a long error":       "!999999999\r\n",
		"more than a number": "$9223372036854775807\r\n",
		"more than any":      "*99999999999999999999999999999999999999\r\n",
		"arrays in arrays":   strings.Repeat("*1000000\r\n", 100),
		"maps in an array":   "*2\r\n" + strings.Repeat("%500000\r\n:1\r\n", 100),
		"a line":             "+" + strings.Repeat("x", 10<<20) + "\r\n",
	} {
		s := newStore(t, serve(t, reply), 5*time.Second)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := s.Conversation(t.Context(), owner, "c", store.Range{})
		runtime.ReadMemStats(&after)
		if !errors.Is(err, store.ErrProtocol) {
			t.Errorf("%s: %v, want %v", name, err, store.ErrProtocol)
		}
		if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 64 {
			t.Errorf("%s: took %d MiB", name, took)
		}
	}
}

// What Redis can say passes as it is, however it is cut into reads.
func TestRepliesPass(t *testing.T) {
	stream := strings.Join([]string{
		"+OK", "-ERR no", ":-12", "_", ",3.14", "#t", "(3492890328409238509324850943850943825024385", "$-1", "*-1", "$0", "", "*0", "~0", "%0",
		"$5", "*9\r\n\n", "=7", "txt:*9\n", "!5", "ERR x", "*3", "$1", "a", "*2", ":1", ":2", "%1", "$1", "k", "$1", "v",
		"|1", "+a", "+b", "*2", "|1", "+a", ":1", ":5", ":6", ">2", "+message", "$2", "hi", "+end", "",
	}, "\r\n")
	for size := 1; size <= len(stream); size++ {
		var r replies
		for part := range chunks(stream, size) {
			if n, err := r.check([]byte(part), nil); n != len(part) || err != nil {
				t.Fatalf("in reads of %d bytes: %d of %q passed: %v", size, n, part, err)
			}
		}
		if r.pending != 0 || r.kind != 0 || r.skip != 0 {
			t.Errorf("in reads of %d bytes it is not over: %+v", size, r)
		}
	}
}

func chunks(s string, size int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for len(s) > 0 {
			n := min(size, len(s))
			if !yield(s[:n]) {
				return
			}
			s = s[n:]
		}
	}
}

// FuzzReplies: what passes never has more announced than may be, however it is
// cut, and cutting changes nothing.
func FuzzReplies(f *testing.F) {
	for _, s := range []string{"+OK\r\n", "*2\r\n$1\r\na\r\n:1\r\n", "%99999999999\r\n", "*-1\r\n", "$5\r\nhello\r\n", "|1\r\n+a\r\n+b\r\n_\r\n", "HTTP/1.1"} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, stream []byte, size int) {
		if size < 1 || size > 1<<10 {
			return
		}
		var whole, cut replies
		want, wantErr := whole.check(stream, nil)
		got := 0
		var err error
		for part := range chunks(string(stream), size) {
			var n int
			n, err = cut.check([]byte(part), nil)
			if got += n; err != nil {
				break
			}
		}
		if (err == nil) != (wantErr == nil) || whole.pending > maxReplyElements && wantErr == nil || whole.pending < 0 || whole.skip < 0 {
			t.Fatalf("%q: %v and %v; %+v", stream, wantErr, err, whole)
		}
		if err == nil && (got != want || cut != whole) {
			t.Fatalf("%q: %d and %d; %+v and %+v", stream, want, got, whole, cut)
		}
	})
}

// Following replies allocates nothing.
func TestRepliesAllocateNothing(t *testing.T) {
	reply := []byte(elements(100, 100))
	var r replies
	if n := testing.AllocsPerRun(100, func() { _, _ = r.check(reply, nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// elements is the reply to a read of messages.
func elements(n, size int) string {
	text := fmt.Sprintf("$%d\r\n%s\r\n", size, strings.Repeat("x", size))
	return "*" + strconv.Itoa(n) + "\r\n" + strings.Repeat(text, n)
}

// BenchmarkReplies compares connections with and without the bound, to be read
// as ratios: "memory" is the client library alone, "redis" a real server.
func BenchmarkReplies(b *testing.B) {
	server := redistest.Start(b).Addr()
	for _, length := range []int{1, 10, 1000} {
		reply := elements(length, 300)
		dials := map[string]func(context.Context, string, string) (net.Conn, error){
			"memory": func(context.Context, string, string) (net.Conn, error) { return canned(reply), nil },
			"redis": func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, server)
			},
		}
		for where, dial := range dials {
			for _, limited := range []bool{false, true} {
				b.Run(fmt.Sprintf("%s/%d/limited=%v", where, length, limited), func(b *testing.B) {
					c := goredis.NewClient(&goredis.Options{Addr: server, Protocol: 2, Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
						conn, err := dial(ctx, network, addr)
						if err == nil && limited {
							conn = limitReplies(conn)
						}
						return conn, err
					}})
					defer func() { _ = c.Close() }()
					if where == "redis" {
						c.Del(b.Context(), "list")
						for range length {
							c.RPush(b.Context(), "list", strings.Repeat("x", 300))
						}
					}
					for b.Loop() {
						if n, err := c.LRange(b.Context(), "list", 0, -1).Result(); err != nil || len(n) != length {
							b.Fatal(len(n), err)
						}
					}
				})
			}
		}
	}
}

// cannedConn answers every command with the same reply, and HELLO and CLIENT
// with an error.
type cannedConn struct {
	net.Conn
	reply string
	out   bytes.Buffer
}

func canned(reply string) net.Conn { return &cannedConn{reply: reply} }

func (c *cannedConn) Write(b []byte) (int, error) {
	r := bufio.NewReader(bytes.NewReader(b))
	for {
		args, err := command(r)
		switch {
		case err != nil:
			return len(b), nil
		case args[0] == "lrange":
			c.out.WriteString(c.reply)
		default:
			c.out.WriteString("-ERR unknown\r\n")
		}
	}
}

func (c *cannedConn) Read(b []byte) (int, error) {
	n, err := c.out.Read(b)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

func (*cannedConn) Close() error                     { return nil }
func (*cannedConn) SetDeadline(time.Time) error      { return nil }
func (*cannedConn) SetReadDeadline(time.Time) error  { return nil }
func (*cannedConn) SetWriteDeadline(time.Time) error { return nil }
func (*cannedConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
