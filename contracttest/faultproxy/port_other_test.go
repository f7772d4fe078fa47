//go:build !linux

package faultproxy_test

import (
	"net"
	"testing"
)

func retransmits(*testing.T, net.Conn) int { return 0 }
