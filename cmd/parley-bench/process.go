//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"time"
)

const (
	startLimit = 10 * time.Second // to print an address
	endLimit   = 5 * time.Second  // to end after SIGTERM
)

// process is a program that was started.
type process struct {
	name    string
	cmd     *exec.Cmd
	address string        // the first URL that it printed
	ended   chan struct{} // closed when it has ended
}

var printedURL = regexp.MustCompile(`https?://\S+`)

// startProcess starts a program and waits until it prints where it listens. Nothing of
// this process's environment gets in, so that no setting does by chance. What it logs is
// written, and read by nobody.
func startProcess(ctx context.Context, name, path string, env []string, args ...string) (*process, error) {
	p := &process{name: name, ended: make(chan struct{})}
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), path, args...)
	p.cmd.Env = append([]string{"HOME=" + os.Getenv("HOME"), "PATH=" + os.Getenv("PATH")}, env...)
	// Interrupts of the terminal are for this process, which ends the others.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	printed := make(chan string, 1)
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if url := printedURL.FindString(lines.Text()); url != "" {
				printed <- url
				break
			}
		}
		_, _ = io.Copy(io.Discard, out)
		_ = p.cmd.Wait()
	}()
	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	select {
	case p.address = <-printed:
		return p, nil
	case <-p.ended:
		err = errors.New("it ended")
	case <-limit.C:
		err = fmt.Errorf("it took more than %v", startLimit)
	case <-ctx.Done():
		err = ctx.Err()
	}
	p.end()
	return nil, fmt.Errorf("%s does not listen: %w", name, err)
}

// end asks the program to end, and kills it when it does not.
func (p *process) end() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	limit := time.NewTimer(endLimit)
	defer limit.Stop()
	select {
	case <-p.ended:
		return
	case <-limit.C:
	}
	_ = p.cmd.Process.Kill()
	<-p.ended
}

func (p *process) pid() int { return p.cmd.Process.Pid }
