package redis

import (
	"bytes"
	"errors"
	"net"
)

// Bounds of one reply. Following a reply costs about 12 ns for each element of
// it, 0.3 % of the client's CPU time for a reply of ten. The client library makes room for whatever a header
// announces before it reads any of it: a header of a dozen bytes can ask for more
// memory than the machine has, and that ends the process. All that we ask for is
// far below these.
const (
	maxReplyElements = 1 << 20                      // that are announced and have not come; 16 MiB in the library
	maxReplyString   = DefaultMaxWriteBytes + 1<<20 // bytes of one string
	maxReplyLine     = 64 << 10                     // bytes of one line: an error, a status, a number
)

// errReply is the error of a reply that passes a bound, or is no RESP.
var errReply = errors.New("redis: reply announces more than we read, or is none")

// limitReplies returns a connection that ends with errReply before the library
// sees a header that passes a bound, and that counts what goes over it.
func limitReplies(conn net.Conn) net.Conn {
	if tcp, ok := conn.(*net.TCPConn); ok {
		// The library looks through a plain connection whether it is dead.
		return &limitedTCP{TCPConn: tcp}
	}
	return &limitedConn{Conn: conn}
}

type limitedTCP struct {
	*net.TCPConn
	replies replies
	exchange
}

func (c *limitedTCP) Read(b []byte) (int, error) {
	if c.replies.failed {
		return 0, errReply // nothing more may come, and the library asks twice
	}
	n, err := c.TCPConn.Read(b)
	if more, ok := c.late(c.TCPConn, b, err); n == 0 && ok {
		n, err = more, nil
	}
	return c.replies.check(b[:n], c.read(n, err))
}

func (c *limitedTCP) Write(b []byte) (int, error) {
	n, err := c.TCPConn.Write(b)
	return n, c.wrote(n, err)
}

type limitedConn struct {
	net.Conn
	replies replies
	exchange
}

func (c *limitedConn) Read(b []byte) (int, error) {
	if c.replies.failed {
		return 0, errReply // nothing more may come, and the library asks twice
	}
	n, err := c.Conn.Read(b)
	if more, ok := c.late(c.Conn, b, err); n == 0 && ok {
		n, err = more, nil
	}
	return c.replies.check(b[:n], c.read(n, err))
}

func (c *limitedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	return n, c.wrote(n, err)
}

// replies follows a stream of replies in RESP 2 and 3. It keeps no bytes: each
// header is judged when its line ends, whichever read brought that.
type replies struct {
	pending int  // elements of the reply that have been announced and have not come
	skip    int  // bytes of a string, with its CRLF, that have not come
	kind    byte // of the line that has begun, 0 between lines
	line    int  // bytes of that line
	number  int  // in that line
	null    bool // that number is below zero
	failed  bool
}

// check returns how many of the bytes that were read may be seen, and the error
// to return with them. Once a bound was passed there are no more.
func (r *replies) check(b []byte, err error) (int, error) {
	n := r.scan(b)
	if r.failed {
		return n, errReply
	}
	return n, err
}

// scan returns the number of bytes before the end of a line that passes a bound.
func (r *replies) scan(b []byte) int {
	for i := 0; i < len(b); {
		switch {
		case r.skip > 0:
			n := min(r.skip, len(b)-i)
			i += n
			r.skip -= n
		case r.kind == 0:
			if !r.begin(b[i]) {
				return i
			}
			i++
		default:
			end := bytes.IndexByte(b[i:], '\n')
			if end < 0 {
				if !r.read(b[i:]) {
					return i
				}
				return len(b)
			}
			if !r.read(b[i:i+end]) || !r.end() {
				r.failed = true
				return i
			}
			i += end + 1
		}
	}
	return len(b)
}

// begin begins a line of that kind.
func (r *replies) begin(kind byte) bool {
	switch kind {
	case '+', '-', ':', '_', ',', '#', '(', '$', '!', '=', '*', '~', '>', '%':
		if r.pending == 0 {
			r.pending = 1 // a reply of its own
		}
	case '|': // attributes come beside the elements that were announced
	default:
		r.failed = true
		return false
	}
	r.kind, r.line, r.number, r.null = kind, 0, 0, false
	return true
}

// read takes more of a line.
func (r *replies) read(part []byte) bool {
	if r.line += len(part); r.line > maxReplyLine {
		r.failed = true
		return false
	}
	if !announces(r.kind) {
		return true
	}
	for _, c := range part {
		switch {
		case c == '-':
			r.null = true
		case c >= '0' && c <= '9':
			if r.number = 10*r.number + int(c-'0'); r.number > maxReplyString {
				r.failed = true
				return false
			}
		}
	}
	return true
}

// announces reports whether a line of that kind has a length in it.
func announces(kind byte) bool {
	switch kind {
	case '$', '!', '=', '*', '~', '>', '%', '|':
		return true
	}
	return false
}

// end ends the line that has begun.
func (r *replies) end() bool {
	n := r.number
	if r.null {
		n = 0
	}
	switch r.kind {
	case '$', '!', '=':
		r.pending--
		if !r.null {
			r.skip = n + len("\r\n")
		}
	case '*', '~', '>':
		r.pending += n - 1
	case '%':
		r.pending += 2*n - 1
	case '|':
		r.pending += 2 * n
	default:
		r.pending--
	}
	r.kind = 0
	return r.pending <= maxReplyElements
}
