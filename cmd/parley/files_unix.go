//go:build unix

package main

import (
	"math"
	"syscall"
)

// maxFiles is how many files this process may have open at the same time, connections
// among them.
func maxFiles() uint64 {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return math.MaxUint64
	}
	return files.Cur
}
