package faultproxy_test

import (
	"encoding/binary"
	"errors"
	"net"
	"strconv"
	"syscall"
	"testing"
	"unsafe"

	"parley/contracttest/faultproxy"
)

// While the proxy refuses, the kernel must give its port to nobody else: not to who
// dials, and not to who listens on it at any address, as the engine does that publishes a
// container's port. Else a dial that is to be refused reaches another Redis.
func TestPortIsKept(t *testing.T) {
	p := faultproxy.Start(t, serve(t).Addr().String())
	other := faultproxy.Start(t, "127.0.0.1:1")
	port, err := net.ResolveTCPAddr("tcp4", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	p.Set(faultproxy.Refuse())
	c, err := (&net.Dialer{LocalAddr: port}).DialContext(t.Context(), "tcp4", other.Addr())
	if err == nil {
		_ = c.Close()
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("somebody else dialed from the proxy's port: %v", err)
	}
	for _, host := range []string{"0.0.0.0", "127.0.0.1"} {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", net.JoinHostPort(host, strconv.Itoa(port.Port)))
		if err == nil {
			_ = l.Close()
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("somebody else listens on the proxy's port at %s: %v", host, err)
		}
	}
}

// retransmits is how often the kernel had to send something again on a
// connection, its SYN included: a dropped one costs a second, which a slow
// machine may take as well.
func retransmits(t *testing.T, c net.Conn) int {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	// struct tcp_info of linux/tcp.h, up to tcpi_total_retrans, its last four bytes.
	var info [104]byte
	size := uint32(len(info))
	var errno syscall.Errno
	err = raw.Control(func(fd uintptr) {
		_, _, errno = syscall.Syscall6(syscall.SYS_GETSOCKOPT, fd, syscall.IPPROTO_TCP, syscall.TCP_INFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	})
	if err != nil || errno != 0 || int(size) != len(info) {
		t.Fatalf("TCP_INFO: %v, %v, %d bytes", err, errno, size)
	}
	return int(binary.NativeEndian.Uint32(info[100:]))
}
