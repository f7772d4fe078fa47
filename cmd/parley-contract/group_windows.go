package main

import (
	"errors"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"
)

// group is a program and all that it started: a shell or a package manager in front of
// a server must not outlive it, nor it them. A console's process group can be asked to
// end; a job can be killed. Both are needed.
type group struct {
	id  int
	job windows.Handle // stays open as long as this process: a run starts few servers
}

// separate has cmd start a group of its own.
func separate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
}

// groupOf is the group of a program that separate prepared.
func groupOf(p *os.Process) (group, error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return group{}, err
	}
	var assigned error
	err = p.WithHandle(func(handle uintptr) {
		assigned = windows.AssignProcessToJobObject(job, windows.Handle(handle))
	})
	return group{p.Pid, job}, errors.Join(err, assigned)
}

// end asks all of them to end. Go's programs get it as os.Interrupt.
func (g group) end() {
	_ = windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(g.id))
}

// kill ends all of them as a crash does.
func (g group) kill() { _ = windows.TerminateJobObject(g.job, 1) }
