package redistest

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

func installed(t *testing.T) (path string) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("no redis-server is installed here")
	}
	return path
}

// A redis-server that is a child does what one in a container does.
func TestProgram(t *testing.T) {
	p := StartProgram(t, installed(t), "--requirepass", "se/cret", "--appendonly", "yes", "--appendfsync", "always")
	if want := "redis://:se%2Fcret@" + p.Addr(); p.URL() != want {
		t.Errorf("URL() = %q, want %q", p.URL(), want)
	}
	if got := ask(t, p.Addr(), "AUTH se/cret", "SET k v", "CONFIG GET maxmemory-policy"); got != "+OK +OK *2 $16 maxmemory-policy $10 noeviction" {
		t.Errorf("answered %q", got)
	}
	addr := p.Addr()
	p.Kill(t)
	if conn, err := dial(t.Context(), addr); err == nil {
		_ = conn.Close()
		t.Error("it accepts connections although it was killed")
	}
	p.Restart(t)
	for began := time.Now(); strings.Contains(ask(t, p.Addr(), "AUTH se/cret", "PING"), "LOADING") && time.Since(began) < startTimeout; {
	}
	if got := ask(t, p.Addr(), "AUTH se/cret", "GET k"); got != "+OK $1 v" || p.Addr() != addr {
		t.Errorf("after the restart, at %s, it answered %q", p.Addr(), got)
	}
	p.Stop(t)
	p.Continue(t)
	if got := ask(t, p.Addr(), "AUTH se/cret", "PING"); got != "+OK +PONG" {
		t.Errorf("after it was halted it answered %q", got)
	}
	if host, port := p.ContainerAddr(t); host+":"+port != addr {
		t.Errorf("others find it at %s:%s", host, port)
	}
}

// A halted one ends with its test, too.
func TestProgramEnds(t *testing.T) {
	path := installed(t)
	var addr string
	t.Run("halted", func(t *testing.T) {
		p := StartProgram(t, path)
		addr = p.Addr()
		p.Stop(t)
	})
	if conn, err := dial(t.Context(), addr); err == nil {
		_ = conn.Close()
		t.Errorf("%s still accepts connections after its test", addr)
	}
}

// Whoever names a program that is none, or flags that are none, is told what it printed.
func TestProgramThatDoesNotStart(t *testing.T) {
	for _, c := range []struct{ path, flag, want string }{
		{"/nowhere/redis-server", "", "no such file"},
		{installed(t), "--no-such-setting", "Bad directive"},
	} {
		tb := &outcome{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			StartProgram(tb, c.path, strings.Fields(c.flag)...)
		}()
		<-done
		if !strings.HasPrefix(tb.got, "fatal: start "+c.path) || !strings.Contains(tb.got, c.want) {
			t.Errorf("%s: %q", c.path, tb.got)
		}
	}
}
