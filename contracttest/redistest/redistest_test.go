package redistest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestServerAnswersAndEndsWithItsTest(t *testing.T) {
	var addr string
	t.Run("running", func(t *testing.T) {
		server := Start(t)
		addr = server.Addr()
		if want := "redis://" + addr; server.URL() != want {
			t.Errorf("URL() = %q, want %q", server.URL(), want)
		}
		for _, c := range []struct{ command, want string }{
			{"PING", "+PONG"},
			{"CONFIG GET save", "*2 $4 save $0 "},
			{"CONFIG GET appendonly", "*2 $10 appendonly $2 no"},
			{"CONFIG GET maxmemory-policy", "*2 $16 maxmemory-policy $10 noeviction"},
		} {
			if got := ask(t, addr, c.command); got != c.want {
				t.Errorf("%s answered %q, want %q", c.command, got, c.want)
			}
		}
	})
	if addr == "" {
		t.Skip("the server did not start, so there is nothing that could be left")
	}
	if conn, err := dial(t.Context(), addr); err == nil {
		_ = conn.Close()
		t.Errorf("%s still accepts connections after its test", addr)
	}
}

func TestFlagsReachTheServer(t *testing.T) {
	server := Start(t, "--requirepass", "se/cret", "--maxmemory", "50mb")
	if got := ask(t, server.Addr(), "PING"); !strings.HasPrefix(got, "-NOAUTH") {
		t.Errorf("PING without password answered %q, want -NOAUTH", got)
	}
	if want := "redis://:se%2Fcret@" + server.Addr(); server.URL() != want {
		t.Errorf("URL() = %q, want %q", server.URL(), want)
	}
	if got := ask(t, server.Addr(), "AUTH se/cret", "CONFIG GET maxmemory"); got != "+OK *2 $9 maxmemory $8 52428800" {
		t.Errorf("AUTH and CONFIG GET maxmemory answered %q", got)
	}
}

// ask sends the commands on a connection of their own and returns the lines of
// the answers with a space between them. It speaks to the socket itself: a
// client library would hide what was answered.
func ask(t *testing.T, addr string, commands ...string) string {
	t.Helper()
	conn, err := dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "%s\r\nQUIT\r\n", strings.Join(commands, "\r\n")); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for scanner := bufio.NewScanner(conn); scanner.Scan(); {
		lines = append(lines, scanner.Text())
	}
	if len(lines) > 1 {
		lines = lines[:len(lines)-1] // the answer to QUIT
	}
	return strings.Join(lines, " ")
}

func dial(ctx context.Context, addr string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 2 * time.Second}
	return dialer.DialContext(ctx, "tcp", addr)
}

func TestNeed(t *testing.T) {
	gone := errors.New("no Docker engine answers")
	for _, c := range []struct {
		name, require string
		err           error
		want          string
	}{
		{"found", "1", nil, ""},
		{"missing", "", gone, "skip: no Redis container: no Docker engine answers"},
		{"missing, not required", "0", gone, "skip: no Redis container: no Docker engine answers"},
		{"missing, not required in words", "false", gone, "skip: no Redis container: no Docker engine answers"},
		{"missing, required", "1", gone, "fatal: no Redis container, and REQUIRE_DOCKER is set: no Docker engine answers"},
		{"missing, required in words", "true", gone, "fatal: no Redis container, and REQUIRE_DOCKER is set: no Docker engine answers"},
		{"missing, required misspelt", "ture", gone, "fatal: no Redis container, and REQUIRE_DOCKER is set: no Docker engine answers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(RequireVar, c.require)
			tb := &outcome{TB: t}
			done := make(chan struct{})
			go func() { // of its own, because Skipf and Fatalf end it
				defer close(done)
				need(tb, func() error { return c.err })
			}()
			<-done
			if tb.got != c.want {
				t.Errorf("outcome %q, want %q", tb.got, c.want)
			}
		})
	}
}

// outcome is a testing.TB that notes how a test would have ended.
type outcome struct {
	testing.TB
	got string
}

func (o *outcome) Skipf(format string, args ...any)  { o.end("skip: ", format, args) }
func (o *outcome) Fatalf(format string, args ...any) { o.end("fatal: ", format, args) }

func (o *outcome) end(how, format string, args []any) {
	o.got = how + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestImageName(t *testing.T) {
	t.Setenv(ImageVar, "")
	if got := imageName(); got != Image {
		t.Errorf("without %s the image is %q, want %q", ImageVar, got, Image)
	}
	t.Setenv(ImageVar, "elsewhere/redis:1")
	if got := imageName(); got != "elsewhere/redis:1" {
		t.Errorf("with %s the image is %q", ImageVar, got)
	}
}
