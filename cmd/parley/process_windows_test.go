package main

import (
	"syscall"
	"time"
)

// Windows has no signals that halt a process and have it go on, and refuses these.
const (
	sigHalt   = syscall.Signal(0x13)
	sigResume = syscall.Signal(0x12)
)

// processorTime is what this process has used so far, in user and kernel.
func processorTime() (time.Duration, error) {
	self, err := syscall.GetCurrentProcess()
	if err != nil {
		return 0, err
	}
	var created, ended, kernel, user syscall.Filetime
	err = syscall.GetProcessTimes(self, &created, &ended, &kernel, &user)
	ticks := func(t syscall.Filetime) int64 { return int64(t.HighDateTime)<<32 + int64(t.LowDateTime) }
	return time.Duration(ticks(kernel)+ticks(user)) * 100, err // a tick is 100 ns
}
