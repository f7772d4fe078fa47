package main

import "syscall"

// Windows has no signals that halt a process and have it go on, and refuses these.
const (
	sigHalt   = syscall.Signal(0x13)
	sigResume = syscall.Signal(0x12)
)
