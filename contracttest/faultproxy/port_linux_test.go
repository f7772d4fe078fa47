package faultproxy_test

import (
	"errors"
	"net"
	"syscall"
	"testing"

	"parley/contracttest/faultproxy"
)

// While the proxy refuses, the kernel must give its port to nobody else.
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
}
