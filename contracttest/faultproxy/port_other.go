//go:build !linux

package faultproxy

import "net"

// hangs says that kernels differ in what they do with a full backlog.
const hangs = false

// reservePort leaves it to the listener to find a free port.
func reservePort() (addr string, free func(), err error) {
	return "127.0.0.1:0", func() {}, nil
}

// shares leaves sockets as they are: there is no port to share.
func shares(uintptr) error { return nil }

func setBacklog(*net.TCPListener, int) error { return nil }
