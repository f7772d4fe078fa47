package faultproxy

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Bounds of one command or one reply, and of what is kept of it.
const (
	maxFrame = 32 << 20 // bytes; more closes the connection
	maxLine  = 64 << 10 // bytes of a line: a length, a number, an error, an inline command
	maxArgs  = 32       // arguments that a Command keeps
	maxArg   = 256      // bytes of each
	chunk    = 64 << 10 // bytes that are allocated before they have arrived
)

var (
	errMalformed = errors.New("not RESP")
	errTooLong   = errors.New("longer than the proxy takes")
)

// Command is a command that a client sent.
type Command struct {
	// Name is in upper case, like EVALSHA.
	Name string
	// Args are the first 32 arguments, each cut to its first 256 bytes. It must
	// not be changed.
	Args []string
	// Script is the SHA-1 of the script that EVAL, EVALSHA or their read-only
	// forms run, in lower-case hex; else empty.
	Script string
}

// readFrame appends one whole value of RESP 2 or 3 to buf, unparsed, with the
// attributes in front of it if there are any. It uses a loop and no recursion, so a
// deeply nested reply costs no stack.
//
// Source: https://redis.io/docs/latest/develop/reference/protocol-spec/
func readFrame(r *bufio.Reader, buf []byte) ([]byte, error) {
	for left := 1; left > 0; left-- {
		start := len(buf)
		var err error
		if buf, err = readLine(r, buf); err != nil {
			return buf, err
		}
		line := buf[start:]
		switch line[0] {
		case '+', '-', ':', '_', '#', ',', '(':
		case '$', '=', '!':
			n, err := length(line)
			if err != nil {
				return buf, err
			}
			if buf, err = readBulk(r, buf, n); err != nil {
				return buf, err
			}
		case '*', '~', '>', '%', '|':
			n, err := length(line)
			if err != nil {
				return buf, err
			}
			if line[0] == '%' || line[0] == '|' {
				n *= 2
			}
			if line[0] == '|' {
				n++ // an attribute is no value; the one it belongs to follows
			}
			left += max(n, 0)
		default:
			return buf, errMalformed
		}
		// Every value takes three bytes at least, so left is bounded as well.
		if len(buf)+3*(left-1) > maxFrame {
			return buf, errTooLong
		}
	}
	return buf, nil
}

// readLine appends a line with its CRLF, of at least one byte before it.
func readLine(r *bufio.Reader, buf []byte) ([]byte, error) {
	start := len(buf)
	for {
		part, err := r.ReadSlice('\n')
		buf = append(buf, part...)
		switch {
		case len(buf)-start > maxLine:
			return buf, errTooLong
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == nil && (len(buf)-start < 3 || buf[len(buf)-2] != '\r'):
			return buf, errMalformed
		}
		return buf, err
	}
}

// length parses the number after the type of a value; -1 means null.
func length(line []byte) (int, error) {
	n, err := strconv.Atoi(string(line[1 : len(line)-2]))
	switch {
	case err != nil || n < -1:
		return 0, errMalformed
	case n > maxFrame:
		return 0, errTooLong
	}
	return n, nil
}

// readBulk appends n bytes and the CRLF behind them; nothing if n is -1.
func readBulk(r *bufio.Reader, buf []byte, n int) ([]byte, error) {
	if n < 0 {
		return buf, nil
	}
	if len(buf)+n > maxFrame {
		return buf, errTooLong
	}
	for n += 2; n > 0; {
		k := min(n, chunk)
		buf = slices.Grow(buf, k)
		got, err := io.ReadFull(r, buf[len(buf):len(buf)+k])
		buf = buf[:len(buf)+got]
		if err != nil {
			return buf, err
		}
		n -= k
	}
	if !bytes.HasSuffix(buf, []byte("\r\n")) {
		return buf, errMalformed
	}
	return buf, nil
}

// readCommand reads a command and returns its bytes and its parsed form. Like Redis it
// accepts inline commands. A command without a name is skipped: Redis does not reply to
// it.
func readCommand(r *bufio.Reader) (Command, []byte, error) {
	for {
		first, err := r.Peek(1)
		if err != nil {
			return Command{}, nil, err
		}
		var raw []byte
		var words [][]byte
		if first[0] == '*' {
			if raw, err = readFrame(r, nil); err == nil {
				words, err = bulks(raw)
			}
		} else if raw, err = readInline(r); err == nil {
			words = bytes.Fields(raw)
		}
		if err != nil {
			return Command{}, nil, err
		}
		if len(words) > 0 {
			return command(words), raw, nil
		}
	}
}

// readInline reads a line that may end in LF alone and may be empty.
func readInline(r *bufio.Reader) ([]byte, error) {
	var buf []byte
	for {
		part, err := r.ReadSlice('\n')
		buf = append(buf, part...)
		if len(buf) > maxLine {
			return nil, errTooLong
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return buf, err
		}
	}
}

// bulks returns the strings of an array of strings, as many as a Command keeps. An
// array with anything else in it is no command.
func bulks(frame []byte) ([][]byte, error) {
	line, rest, _ := bytes.Cut(frame, []byte("\r\n"))
	n, err := strconv.Atoi(string(line[1:]))
	if err != nil {
		return nil, errMalformed
	}
	words := make([][]byte, 0, min(max(n, 0), maxArgs+1))
	for range n {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		size, err := strconv.Atoi(string(line[1:]))
		if line[0] != '$' || err != nil || size < 0 {
			return nil, errMalformed
		}
		if len(words) <= maxArgs {
			words = append(words, rest[:size])
		}
		rest = rest[size+2:]
	}
	return words, nil
}

func command(words [][]byte) Command {
	c := Command{Name: strings.ToUpper(cut(words[0])), Args: make([]string, 0, len(words)-1)}
	for _, w := range words[1:] {
		c.Args = append(c.Args, cut(w))
	}
	c.Args = c.Args[:min(len(c.Args), maxArgs)]
	if len(words) > 1 {
		switch c.Name {
		case "EVALSHA", "EVALSHA_RO":
			c.Script = strings.ToLower(c.Args[0])
		case "EVAL", "EVAL_RO":
			sum := sha1.Sum(words[1])
			c.Script = hex.EncodeToString(sum[:])
		}
	}
	return c
}

func cut(word []byte) string { return string(word[:min(len(word), maxArg)]) }
