package redis

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// rawReply is a reply, or what is left of one, in RESP 2 or 3. What is read of it are parts
// of it, no copies.
type rawReply struct{ rest []byte }

// line takes a line and gives what it begins with. There is none when it does not end.
func (r *rawReply) line() (kind byte, text []byte, ok bool) {
	line, rest, ok := bytes.Cut(r.rest, []byte("\r\n"))
	if !ok || len(line) == 0 {
		return 0, nil, false
	}
	r.rest = rest
	return line[0], line[1:], true
}

// text takes a string, or a number as text. There may be none.
func (r *rawReply) text() (text []byte, there bool, err error) {
	if n, head, ok := r.size(); ok {
		text, r.rest = r.rest[head:head+n], r.rest[head+n+len("\r\n"):]
		return text, true, nil
	}
	switch kind, line, ok := r.line(); {
	case !ok:
	case kind == '+', kind == ':', kind == ',':
		return line, true, nil
	case kind == '_', kind == '$' && string(line) == "-1":
		return nil, false, nil
	}
	return nil, false, errShape
}

// size is how long the string is that follows, and the line before it. Nearly everything
// that comes is one.
func (r *rawReply) size() (n, head int, ok bool) {
	b := r.rest
	if len(b) == 0 || b[0] != '$' {
		return 0, 0, false
	}
	i := 1
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		if n = 10*n + int(b[i]-'0'); n > len(b) {
			return 0, 0, false
		}
	}
	head = i + len("\r\n")
	return n, head, i > 1 && head+n+len("\r\n") <= len(b) && b[i] == '\r' && b[i+1] == '\n'
}

// number takes a whole number.
func (r *rawReply) number() (int, error) {
	kind, line, ok := r.line()
	n, err := strconv.Atoi(string(line))
	if !ok || kind != ':' || err != nil {
		return 0, errShape
	}
	return n, nil
}

// list takes the head of a list or a map, and says how many elements follow.
func (r *rawReply) list() (int, error) {
	kind, line, ok := r.line()
	n, err := strconv.Atoi(string(line))
	switch {
	case !ok || err != nil || n < 0 || n > len(r.rest)/len("_\r\n"): // the shortest element
		return 0, errShape
	case kind == '*', kind == '~':
		return n, nil
	case kind == '%':
		return 2 * n, nil
	}
	return 0, errShape
}

// isList reports whether a list follows.
func (r *rawReply) isList() bool { return len(r.rest) > 0 && r.rest[0] == '*' }

// pair takes two strings.
func (r *rawReply) pair() (first, second []byte, err error) {
	first, there, err := r.text()
	if err == nil && there {
		second, there, err = r.text()
	}
	if err == nil && !there {
		err = errShape
	}
	return first, second, err
}

// strings takes a list of so many strings and hands over each, nil for none.
func (r *rawReply) strings(want int, each func(i int, text []byte)) error {
	n, err := r.list()
	if err != nil || n != want {
		return errShape
	}
	for i := range n {
		text, _, err := r.text()
		if err != nil {
			return err
		}
		each(i, text)
	}
	return nil
}

// joined are strings that are parts of one text, because a text for each would be an
// allocation for each.
type joined struct {
	text strings.Builder
	ends []int
}

// grow has room for so many strings, of so many bytes together.
func (j *joined) grow(n, bytes int) {
	j.text.Grow(bytes)
	j.ends = slices.Grow(j.ends, n)
}

// end ends a string. What was written to text since the last one is what it says.
func (j *joined) end() { j.ends = append(j.ends, j.text.Len()) }

// all are the strings.
func (j *joined) all() []string {
	text, from := j.text.String(), 0
	out := make([]string, len(j.ends))
	for i, end := range j.ends {
		out[i], from = text[from:end], end
	}
	return out
}
