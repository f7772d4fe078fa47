package faultproxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// What every kind of value looks like, each a whole one.
var frames = []string{
	"+OK\r\n", "-ERR no\r\n", ":-42\r\n", "$5\r\na\r\nbc\r\n", "$0\r\n\r\n", "$-1\r\n", "*-1\r\n", "*0\r\n",
	"*2\r\n$1\r\na\r\n*1\r\n:1\r\n", "_\r\n", "#t\r\n", ",1.5e3\r\n", ",inf\r\n", "(3492890328409238509324850943850943825024385\r\n",
	"=8\r\ntxt:text\r\n", "!5\r\nERR x\r\n", "~2\r\n:1\r\n:2\r\n", "%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n_\r\n",
	">2\r\n+message\r\n$1\r\na\r\n", "|1\r\n+ttl\r\n:3\r\n*1\r\n:1\r\n", "*1\r\n|1\r\n+a\r\n+b\r\n:1\r\n",
	"$70000\r\n" + strings.Repeat("x", 70000) + "\r\n", "+" + strings.Repeat("x", 5000) + "\r\n",
	strings.Repeat("*1\r\n", 100_000) + ":1\r\n",
}

func TestReadFrame(t *testing.T) {
	all := strings.Join(frames, "")
	r := bufio.NewReaderSize(strings.NewReader(all), peekSize)
	for _, want := range frames {
		if got, err := readFrame(r, nil); err != nil || string(got) != want {
			t.Fatalf("read %.60q and %v, want %.60q", got, err, want)
		}
	}
	if _, err := readFrame(r, nil); err != io.EOF { //nolint:errorlint // a clean end is this and no other
		t.Errorf("at the end: %v", err)
	}
}

func TestReadFrameRefuses(t *testing.T) {
	for text, want := range map[string]error{
		"x\r\n": errMalformed, "\r\n": errMalformed, "\n": errMalformed, "+OK\n": errMalformed, "$a\r\n": errMalformed,
		"$\r\n": errMalformed, "$-2\r\n": errMalformed, "$1\r\nabc\r\n": errMalformed,
		"*1\r\n?\r\n": errMalformed, "$99999999999999999999\r\n": errMalformed,
		"$9223372036854775807\r\n": errTooLong, "*9223372036854775807\r\n": errTooLong, "%33554432\r\n": errTooLong,
		"$33554432\r\n": errTooLong, "*12000000\r\n": errTooLong,
		"+" + strings.Repeat("x", maxLine) + "\r\n": errTooLong,
		"$5\r\nab": io.ErrUnexpectedEOF, "+O": io.EOF, "*2\r\n:1\r\n": io.EOF,
	} {
		if _, err := readFrame(bufio.NewReaderSize(strings.NewReader(text), peekSize), nil); !errors.Is(err, want) {
			t.Errorf("%.40q: %v, want %v", text, err, want)
		}
	}
}

func TestReadCommand(t *testing.T) {
	input := "*0\r\n\r\nPING\r\n get  key\n*-1\r\n*2\r\n$4\r\necho\r\n$3\r\na\r\n\r\n"
	r := bufio.NewReader(strings.NewReader(input))
	for _, want := range []struct {
		name, args, raw string
	}{
		{"PING", "", "PING\r\n"},
		{"GET", "key", " get  key\n"},
		{"ECHO", "a\r\n", "*2\r\n$4\r\necho\r\n$3\r\na\r\n\r\n"},
	} {
		c, raw, err := readCommand(r)
		if err != nil || c.Name != want.name || strings.Join(c.Args, " ") != want.args || string(raw) != want.raw {
			t.Fatalf("read %+v, %q and %v, want %+v", c, raw, err, want)
		}
	}
	for _, text := range []string{"*1\r\n:1\r\n", "*1\r\n$-1\r\n", "*1\r\n*0\r\n", "*2\r\n|0\r\n$1\r\na\r\n$1\r\nb\r\n", strings.Repeat("x", maxLine+1)} {
		if c, _, err := readCommand(bufio.NewReader(strings.NewReader(text))); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%.40q: %+v and %v, want a refusal", text, c, err)
		}
	}
}

// Whatever comes is read as it is or refused, and no more room is made than for
// what came.
func FuzzRESP(f *testing.F) {
	for _, frame := range frames[:20] {
		f.Add([]byte(frame))
	}
	f.Add([]byte("*2\r\n$4\r\nEVAL\r\n$1\r\nx\r\nPING\r\n"))
	f.Add([]byte("*1000000\r\n$9999999\r\nx"))
	f.Add([]byte(GarbageHTTP + GarbageBinary))
	f.Fuzz(func(t *testing.T, input []byte) {
		r := bufio.NewReader(bytes.NewReader(input))
		at := 0
		for {
			frame, err := readFrame(r, nil)
			if !bytes.HasPrefix(input[at:], frame) {
				t.Fatalf("read %q, which is not what came", frame)
			}
			if cap(frame) > 4*(len(input)+chunk) {
				t.Fatalf("room for %d bytes, and %d came", cap(frame), len(input))
			}
			if err != nil {
				break
			}
			at += len(frame)
		}
		r = bufio.NewReader(bytes.NewReader(input))
		for {
			c, raw, err := readCommand(r)
			if err != nil {
				return
			}
			if !bytes.Contains(input, raw) || len(c.Args) > maxArgs || len(c.Name) > 3*maxArg {
				t.Fatalf("%q gave %+v", raw, c)
			}
			again, _, err := readCommand(bufio.NewReader(bytes.NewReader(raw)))
			if err != nil || again.Name != c.Name || len(again.Args) != len(c.Args) {
				t.Fatalf("%q gave %+v, then %+v and %v", raw, c, again, err)
			}
		}
	})
}
