package copilot

import (
	"bytes"
	"iter"

	"github.com/go-json-experiment/json/jsontext"
)

// The functions here walk through JSON that validJSON has taken, and panic on any other.
// An activity is walked through, not unmarshaled, because that takes twice as long:
// most of what an activity has is not looked at.

// validJSON reports whether b is one JSON value. Names may come twice, and texts may be
// no UTF-8, as for package json.
func validJSON(b []byte) bool {
	return jsontext.Value(b).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// members yields the names of an object, unquoted, and their values. They are parts of
// the object, no copies, but for names with escapes.
func members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		rest := skip(object, ' ')[1:]
		for {
			if rest = skip(rest, ','); rest[0] == '}' {
				return
			}
			var name, value []byte
			name, rest = cutValue(rest)
			value, rest = cutValue(skip(rest, ':'))
			if !yield(unquoted(name), value) {
				return
			}
		}
	}
}

// elements yields the values of a list. They are parts of it, no copies.
func elements(list []byte) iter.Seq[[]byte] {
	return func(yield func(value []byte) bool) {
		rest := skip(list, ' ')[1:]
		for {
			if rest = skip(rest, ','); rest[0] == ']' {
				return
			}
			var value []byte
			if value, rest = cutValue(rest); !yield(value) {
				return
			}
		}
	}
}

// skip gives what follows blanks and marks.
func skip(b []byte, mark byte) []byte {
	for i, c := range b {
		switch c {
		case ' ', '\t', '\r', '\n', mark:
		default:
			return b[i:]
		}
	}
	return nil
}

// ends reports whether a number or a word ends before c.
func ends(c byte) bool {
	switch c {
	case ' ', '\t', '\r', '\n', ',', ']', '}':
		return true
	}
	return false
}

// cutValue gives the value at the beginning of b, and what follows it.
func cutValue(b []byte) (value, rest []byte) {
	for i, depth := 0, 0; ; {
		switch b[i] {
		case '"':
			i += quotedLen(b[i:])
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		default:
			i++
			if depth == 0 { // a number, true, false or null
				for i < len(b) && !ends(b[i]) {
					i++
				}
			}
		}
		if depth == 0 {
			return b[:i], b[i:]
		}
	}
}

// quotedLen is the length of the string at the beginning of b, with its quotes.
func quotedLen(b []byte) int {
	for i := 1; ; i++ {
		i += bytes.IndexByte(b[i:], '"')
		escapes := 0
		for b[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i + 1
		}
	}
}

// unquoted is what a name says.
func unquoted(name []byte) []byte {
	if plain := name[1 : len(name)-1]; bytes.IndexByte(plain, '\\') < 0 {
		return plain
	}
	s, _ := decodeString(name)
	return []byte(s)
}

// nameOf is the one of the names that a member has, "" if it has none of them. Case is
// ignored, as package json does.
func nameOf(member []byte, names ...string) string {
	for _, name := range names {
		if bytes.EqualFold(member, []byte(name)) {
			return name
		}
	}
	return ""
}
