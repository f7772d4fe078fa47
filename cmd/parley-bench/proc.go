//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of processor time in /proc, which Linux fixes at 100 a second.
const tick = 10 * time.Millisecond

// processorTime is what a process has used so far, in user and kernel.
func processorTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold anything; the times are 14th and 15th.
	_, rest, _ := strings.Cut(string(text[bytes.LastIndexByte(text, ')')+1:]), " ")
	return ticks(strings.Fields(rest), 11, 12)
}

// machineTime is what all processors have used so far, without interrupts, of which
// nobody can say whose they are; taken by others on the same host counts.
func machineTime() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	// cpu user nice system idle iowait irq softirq steal
	return ticks(strings.Fields(line), 1, 2, 3, 8)
}

func ticks(fields []string, at ...int) (time.Duration, error) {
	var sum time.Duration
	for _, i := range at {
		if i >= len(fields) {
			return 0, fmt.Errorf("%d fields in /proc, %d is needed", len(fields), i)
		}
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read /proc: %w", err)
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

// resident is the memory of a process that is in RAM, in bytes.
func resident(pid int) (int64, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc does not say what process %d has in memory", pid)
}
