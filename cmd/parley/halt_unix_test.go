//go:build unix

package main

import "syscall"

// These halt a process where it is, and have it go on.
const (
	sigHalt   = syscall.SIGSTOP
	sigResume = syscall.SIGCONT
)
