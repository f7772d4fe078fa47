package redistest

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

// A server that is halted takes what it is sent and says nothing until it goes
// on; one that was killed is gone, and comes back with what it kept on disk.
func TestControl(t *testing.T) {
	server := Start(t, "--appendonly", "yes", "--appendfsync", "always")
	if got := ask(t, server.Addr(), "SET kept yes"); got != "+OK" {
		t.Fatalf("SET answered %q", got)
	}
	conn, err := dial(t.Context(), server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()

	server.Stop(t)
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		t.Errorf("writing to a halted server: %v", err)
	}
	answer := make([]byte, 16)
	_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	var netErr net.Error
	if n, err := conn.Read(answer); !errors.As(err, &netErr) || !netErr.Timeout() {
		t.Errorf("a halted server said %q, %v", answer[:n], err)
	}
	server.Continue(t)
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := conn.Read(answer); err != nil || string(answer[:n]) != "+PONG\r\n" {
		t.Errorf("after it went on it said %q, %v", answer[:n], err)
	}

	server.Kill(t)
	if _, err := conn.Read(answer); err == nil {
		t.Error("a killed server still talks")
	}
	server.Restart(t)
	got, deadline := "", time.After(10*time.Second)
	for tick := time.Tick(10 * time.Millisecond); got == "" || strings.HasPrefix(got, "-LOADING"); {
		select {
		case <-tick:
			got = ask(t, server.Addr(), "GET kept")
		case <-deadline:
			t.Fatal("it did not load within 10 s")
		}
	}
	if got != "$3 yes" {
		t.Errorf("after the restart GET answered %q", got)
	}
}
