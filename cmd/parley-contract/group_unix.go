//go:build unix

package main

import (
	"os"
	"os/exec"
	"syscall"
)

// group is a program and all that it started: a shell or a package manager in front of
// a server must not outlive it, nor it them.
type group struct{ id int }

// separate has cmd start a group of its own.
func separate(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// groupOf is the group of a program that separate prepared.
func groupOf(p *os.Process) (group, error) { return group{p.Pid}, nil }

// end asks all of them to end.
func (g group) end() { _ = syscall.Kill(-g.id, syscall.SIGTERM) }

// kill ends all of them as a crash does.
func (g group) kill() { _ = syscall.Kill(-g.id, syscall.SIGKILL) }
