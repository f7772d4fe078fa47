package redistest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"parley/contracttest/ports"
)

// maxOutput bounds what is kept of what a redis-server prints, in bytes.
const maxOutput = 32 << 10

// Program is a running redis-server that is a child of this process, on a machine
// without Docker. It is safe for concurrent use, except while it restarts.
type Program struct {
	path, dir string
	port      *ports.Port
	flags     []string
	printed   output

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan error // gets what Wait said, once
}

// StartProgram starts the redis-server at path on a free port of loopback, with the
// flags of Start. What it keeps on disk is in a directory that goes with the test.
func StartProgram(tb testing.TB, path string, flags ...string) *Program {
	tb.Helper()
	p := &Program{path: path, dir: tb.TempDir(), flags: flags}
	tb.Cleanup(p.end)
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	// Another program may take the port before redis-server does.
	const attempts = 5
	var err error
	for range attempts {
		p.port = ports.Of(tb)
		if err = p.start(ctx); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		tb.Fatalf("start %s: %v\n%s", path, err, p.printed.String())
	}
	return p
}

// start starts it and returns when it accepts connections, or has ended.
func (p *Program) start(ctx context.Context) error {
	flags := append([]string{"--port", p.port.Number, "--bind", ports.Host, "--dir", p.dir}, commandLine(p.flags)...)
	cmd := exec.CommandContext(context.WithoutCancel(ctx), p.path, flags...)
	cmd.Stdout, cmd.Stderr = &p.printed, &p.printed
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	p.mu.Lock()
	p.cmd, p.ended = cmd, ended
	p.mu.Unlock()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		dialer := net.Dialer{Timeout: time.Second}
		if conn, err := dialer.DialContext(ctx, "tcp", p.port.Addr); err == nil {
			_ = conn.Close()
			return nil
		}
		select {
		case err := <-ended:
			ended <- err // for end
			return fmt.Errorf("it ended: %w", errors.Join(err, ctx.Err()))
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// end kills it, also when it is halted.
func (p *Program) end() {
	p.mu.Lock()
	cmd, ended := p.cmd, p.ended
	p.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Kill()
	ended <- <-ended
}

// Addr is where the server listens, as host:port.
func (p *Program) Addr() string { return p.port.Addr }

// URL is the server's address as a Redis URL, with the password.
func (p *Program) URL() string {
	u := url.URL{Scheme: "redis", Host: p.port.Addr}
	if secret := password(p.flags); secret != "" {
		u.User = url.UserPassword("", secret)
	}
	return u.String()
}

// Stop halts the server where it is, until Continue. Windows has no signal for it: the
// test fails there.
func (p *Program) Stop(tb testing.TB) { tb.Helper(); p.signal(tb, halt) }

// Continue lets a halted server go on.
func (p *Program) Continue(tb testing.TB) { tb.Helper(); p.signal(tb, resume) }

// Kill ends the server as kill -9 does.
func (p *Program) Kill(tb testing.TB) { tb.Helper(); p.end() }

// Restart starts a server that was killed, at the same Addr, and returns when it
// accepts connections. It may still be loading what it kept on disk.
func (p *Program) Restart(tb testing.TB) {
	tb.Helper()
	p.end()
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	if err := p.start(ctx); err != nil {
		tb.Fatalf("start %s again: %v\n%s", p.path, err, p.printed.String())
	}
}

// ContainerAddr is where other programs find the server.
func (p *Program) ContainerAddr(testing.TB) (host, number string) { return ports.Host, p.port.Number }

func (p *Program) signal(tb testing.TB, s syscall.Signal) {
	tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.cmd.Process.Signal(s); err != nil {
		tb.Fatalf("send %v to redis-server: %v", s, err)
	}
}

// output keeps the end of what a program prints.
type output struct {
	mu   sync.Mutex
	kept bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kept.Write(b)
	if over := o.kept.Len() - maxOutput; over > 0 {
		o.kept.Next(over)
	}
	return len(b), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.kept.String()
}
