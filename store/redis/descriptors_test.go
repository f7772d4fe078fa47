package redis

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"parley/contracttest/redistest"
	"parley/store"
)

// noFiles is a lookup that failed for lack of descriptors.
type noFiles struct {
	*net.DNSError
	lack error
}

func (e *noFiles) Unwrap() []error { return []error{e.DNSError, e.lack} }

// That this process can open no more files says nothing of Redis: the calls tell why
// they failed, however many they are the breaker stays shut, and the first call that
// finds a descriptor succeeds.
func TestNoDescriptorsIsNoOutage(t *testing.T) {
	for what, errno := range map[string]syscall.Errno{"the process": syscall.EMFILE, "the machine": syscall.ENFILE} {
		for where, failed := range map[string]error{
			"lookup":  &noFiles{&net.DNSError{Err: "dial udp: too many open files", Name: "redis.test"}, os.NewSyscallError("socket", errno)},
			"connect": &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", errno)},
		} {
			t.Run(where+" of "+what, func(t *testing.T) {
				t.Parallel()
				var lacking atomic.Bool
				var opened atomic.Int32
				lacking.Store(true)
				_, port, err := net.SplitHostPort(redistest.Start(t).Addr())
				if err != nil {
					t.Fatal(err)
				}
				s, err := New(Options{
					URL: "redis://redis.test:" + port, Timeout: timeout,
					Lookup: func(context.Context, string, string) ([]netip.Addr, error) {
						if lacking.Load() {
							return nil, failed
						}
						return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
					},
					Trace: Trace{Breaker: func(e BreakerEvent) {
						if e.Open {
							opened.Add(1)
						}
					}},
				})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = s.Close() })
				for range 2 {
					for name, call := range calls(s) {
						err := call(t.Context())
						e, ok := errors.AsType[*store.Error](err)
						if !ok || !errors.Is(e.Cause, errno) || e.Reason != "this process can open no more files" {
							t.Errorf("%s: %v", name, err)
						}
					}
				}
				lacking.Store(false)
				if err := s.Ping(t.Context()); err != nil {
					t.Errorf("with a descriptor: %v", err)
				}
				if s.BreakerOpen() || opened.Load() > 0 {
					t.Error("the breaker opened")
				}
			})
		}
	}
}
