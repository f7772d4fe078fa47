package redis

import (
	"net"
	"strconv"
	"strings"
)

// slotCount is how many slots a cluster has. An owner's keys are in one of them.
const slotCount = 16384

// maxClaims bounds the ranges of slots that one node may list. There are no more if
// none of them is beside another of the same node.
const maxClaims = slotCount

// slotOf is the slot of the keys with a hash tag: CRC16/XMODEM of the tag, as the
// Redis Cluster specification has it.
func slotOf(tag string) int {
	crc := uint16(0)
	for i := range len(tag) {
		crc ^= uint16(tag[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc) % slotCount
}

// claim is what a node says of a range of slots: that they are with a primary.
type claim struct {
	from, to int // both in the range
	addr     string
}

// parseSlots reads the reply to CLUSTER SLOTS of a node on a host: for each range
// the first slot, the last, the primary, and its replicas. The library's own reading
// fails at a primary whose host is not told, which is then that of the node.
func parseSlots(v any, host string) ([]claim, error) {
	ranges, ok := v.([]any)
	if !ok || len(ranges) > maxClaims {
		return nil, errShape
	}
	claims := make([]claim, 0, len(ranges))
	for _, r := range ranges {
		f, ok := r.([]any)
		if !ok || len(f) < 2 {
			return nil, errShape
		}
		from, fok := f[0].(int64)
		to, tok := f[1].(int64)
		if !fok || !tok || from < 0 || from > to || to >= slotCount {
			return nil, errShape
		}
		if len(f) == 2 {
			continue // nobody has them
		}
		addr, known, err := parseNode(f[2], host)
		if err != nil {
			return nil, err
		}
		if known {
			claims = append(claims, claim{int(from), int(to), addr})
		}
	}
	return claims, nil
}

// parseNode reads the address of a primary. It is not known where the node that was
// asked has not heard the name of the other yet.
func parseNode(v any, host string) (addr string, known bool, err error) {
	f, ok := v.([]any)
	if !ok || len(f) < 2 {
		return "", false, errShape
	}
	port, ok := f[1].(int64)
	if !ok || port < 0 || port > 65535 {
		return "", false, errShape
	}
	switch name := f[0].(type) {
	case nil:
	case string:
		if name != "" {
			host = name
		}
	default:
		return "", false, errShape
	}
	return net.JoinHostPort(host, strconv.FormatInt(port, 10)), host != unknownHost && port > 0, nil
}

// unknownHost is what a node says where it has no name for another.
const unknownHost = "?"

// redirectTo reads the address in a redirect that a node on a host answered with. An
// IPv6 address has no brackets there.
func redirectTo(said, host string) (addr string, known bool) {
	at := strings.LastIndexByte(said, ':')
	if at < 0 {
		return "", false
	}
	port, err := strconv.ParseUint(said[at+1:], 10, 16)
	if name := strings.Trim(said[:at], "[]"); name != "" {
		host = name
	}
	return net.JoinHostPort(host, said[at+1:]), err == nil && port > 0 && host != unknownHost
}

// hostOf is the host of an address that has a port.
func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return host
}
