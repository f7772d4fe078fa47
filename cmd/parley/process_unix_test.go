//go:build unix

package main

import (
	"syscall"
	"time"
)

// These halt a process where it is, and have it go on.
const (
	sigHalt   = syscall.SIGSTOP
	sigResume = syscall.SIGCONT
)

// processorTime is what this process has used so far, in user and kernel.
func processorTime() (time.Duration, error) {
	var use syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &use)
	return time.Duration(use.Utime.Nano() + use.Stime.Nano()), err
}
