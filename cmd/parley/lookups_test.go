package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"parley/server"
	"parley/server/auth"
	"parley/server/copilot"
	"parley/store/redis"
)

// A lookup that fails because this process, or this machine, has no descriptors is
// nobody else's failure; any other is.
func TestLookupsThatLackDescriptors(t *testing.T) {
	fails := func(errno syscall.Errno) error {
		return &net.OpError{Op: "dial", Net: "udp", Err: os.NewSyscallError("socket", errno)}
	}
	fine := func() error { return nil }
	for _, c := range []struct {
		name  string
		dials []error // what the first dials fail with; after the last, names are said not to exist
		spare func() error
		ours  bool
	}{
		{"of the process", []error{fails(syscall.EMFILE), fails(syscall.EMFILE), fails(syscall.EMFILE), fails(syscall.EMFILE)}, fine, true},
		{"of the machine", []error{fails(syscall.ENFILE)}, fine, true},
		{"for one of the questions only", []error{nil, fails(syscall.EMFILE)}, fine, true},
		{"before another try was answered", []error{fails(syscall.EMFILE)}, fine, true},
		{"of the file of hosts", nil, func() error { return &os.PathError{Op: "open", Path: "/dev/null", Err: syscall.EMFILE} }, true},
		{"none, and no name server either", []error{fails(syscall.ECONNREFUSED), fails(syscall.ECONNREFUSED), fails(syscall.ECONNREFUSED)}, fine, false},
		{"none, and no such name", nil, fine, false},
		{"none, and a file that may not be read", nil, func() error { return os.ErrPermission }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			newLookups := func() *lookups {
				var dialed atomic.Int32
				return &lookups{spare: c.spare, dial: func(context.Context, string, string) (net.Conn, error) {
					if n := int(dialed.Add(1)); n <= len(c.dials) && c.dials[n-1] != nil {
						return nil, c.dials[n-1]
					}
					return noSuchName(t), nil
				}}
			}
			blamed := func(what string, err error, theirs string) {
				t.Helper()
				want := theirs
				if c.ours {
					want = "overloaded"
				}
				if got := server.Class(err); got != want {
					t.Errorf("%s: %s, want %s: %v", what, got, want, err)
				}
			}
			s, err := redis.New(redis.Options{URL: "redis://store.invalid:6379", Timeout: 5 * time.Second, Lookup: newLookups().netIP})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			blamed("Redis", s.Ping(t.Context()), "store_unreachable")

			transport := copilot.NewTransport()
			dial := newLookups().dialing(copilot.NewDialer())
			failed := sync.OnceValue(func() error { _, err := dial(t.Context(), "tcp", "agent.invalid:443"); return err })
			transport.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, failed() } // which is tried twice
			agent, err := copilot.NewClient(copilot.Options{
				Endpoint: copilot.Endpoint{DirectConnectURL: "https://agent.invalid/agent"}, Transport: transport,
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, err = range agent.Start(t.Context(), copilot.Start{}) {
			}
			blamed("the agent", err, "upstream_unreachable")

			transport = auth.NewTransport()
			transport.DialContext = newLookups().dialing(&net.Dialer{})
			issuer, err := auth.NewBearer(auth.Options{
				Source: auth.Source{Issuer: "https://issuer.invalid", KeysURL: "https://issuer.invalid/keys"}, Audiences: []string{"a"}, Transport: transport,
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(issuer.Close)
			blamed("the issuer", issuer.Refresh(t.Context()), "auth_unavailable")
		})
	}
}

// A descriptor is to be had here and now.
func TestOpenAndClose(t *testing.T) {
	if err := openAndClose(); err != nil {
		t.Error(err)
	}
}

// noSuchName is a connection to a name server that knows no name.
func noSuchName(t *testing.T) net.Conn {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { _ = theirs.Close() })
	go func() {
		for {
			var size [2]byte
			if _, err := io.ReadFull(theirs, size[:]); err != nil {
				return
			}
			question := make([]byte, binary.BigEndian.Uint16(size[:]))
			var m dnsmessage.Message
			if _, err := io.ReadFull(theirs, question); err != nil || m.Unpack(question) != nil {
				return
			}
			m.Response, m.RCode, m.Additionals = true, dnsmessage.RCodeNameError, nil
			answer, err := m.Pack()
			if err != nil {
				return
			}
			binary.BigEndian.PutUint16(size[:], uint16(len(answer)))
			if _, err := theirs.Write(append(size[:], answer...)); err != nil {
				return
			}
		}
	}()
	return ours
}

// What wraps a lack is still the failed lookup that it was.
func TestLookupLackIsALookup(t *testing.T) {
	failed := &net.OpError{Op: "dial", Err: &net.DNSError{Err: "text", Name: "host"}}
	err := error(&lookupLack{failed, syscall.EMFILE})
	if op, ok := errors.AsType[*net.OpError](err); !ok || op != failed || err.Error() != failed.Error() {
		t.Errorf("%v", err)
	}
}
