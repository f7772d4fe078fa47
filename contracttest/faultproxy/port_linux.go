package faultproxy

import (
	"net"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// hangs says that a listener with a full backlog drops what a dial sends.
const hangs = true

// reservePort gives a free address of 127.0.0.1 that the kernel gives nobody
// else until free is called. A socket that is bound and does not listen does it:
// beside it a listener that shares the port can come and go, and without one a dial is
// refused. With SO_REUSEADDR anybody could listen there, who asks for that very port: an
// engine that publishes a container's does.
func reservePort() (addr string, free func(), err error) {
	// Not inherited by a process that a test starts: the port would stay taken.
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", nil, err
	}
	free = func() { _ = syscall.Close(fd) }
	var name syscall.Sockaddr
	if err = shares(uintptr(fd)); err == nil {
		if err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err == nil {
			name, err = syscall.Getsockname(fd)
		}
	}
	if err != nil {
		free()
		return "", nil, err
	}
	port := strconv.Itoa(name.(*syscall.SockaddrInet4).Port)
	return net.JoinHostPort("127.0.0.1", port), free, nil
}

// shares lets a socket of this user have its port beside others that allow it as well.
func shares(fd uintptr) error {
	return unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
}

// setBacklog changes how many connections wait to be accepted, less one. What
// waits already stays.
func setBacklog(l *net.TCPListener, n int) error {
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	var listenErr error
	if err := raw.Control(func(fd uintptr) { listenErr = syscall.Listen(int(fd), n) }); err != nil {
		return err
	}
	return listenErr
}
