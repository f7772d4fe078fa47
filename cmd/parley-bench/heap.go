//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// heap is what a process has allocated so far.
type heap struct{ objects, bytes int64 }

// readHeap asks a process's port for profiles, whose text ends with runtime.MemStats.
func readHeap(ctx context.Context, address string) (heap, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/debug/pprof/allocs?debug=1", nil)
	if err != nil {
		return heap{}, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return heap{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	var h heap
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		for name, value := range map[string]*int64{"# Mallocs = ": &h.objects, "# TotalAlloc = ": &h.bytes} {
			if text, ok := strings.CutPrefix(lines.Text(), name); ok {
				if *value, err = strconv.ParseInt(text, 10, 64); err != nil {
					return heap{}, fmt.Errorf("read %s: %w", req.URL, err)
				}
			}
		}
	}
	if h.objects == 0 || h.bytes == 0 {
		return heap{}, errors.Join(fmt.Errorf("%s does not say what was allocated", req.URL), lines.Err())
	}
	return h, nil
}

func (h heap) less(other heap) heap { return heap{h.objects - other.objects, h.bytes - other.bytes} }
