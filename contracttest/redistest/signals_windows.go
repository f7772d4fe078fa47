package redistest

import "syscall"

// Windows has neither and refuses to send them.
const (
	halt   = syscall.Signal(0x13)
	resume = syscall.Signal(0x12)
)
