//go:build unix

package redistest

import "syscall"

const (
	halt   = syscall.SIGSTOP
	resume = syscall.SIGCONT
)
