package copilot

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxNesting is how deep JSON of the agent may nest. Many parsers stop at a
// thousand levels; the answers in which it is told add a few.
const maxNesting = 980

const replacement = "\uFFFD"

// CleanJSON gives JSON that every parser takes: UTF-8 only, no escape of half a
// character (RFC 7493, section 2.1), and no deeper than maxNesting. It is nil
// for JSON that nests deeper. Raw must be valid but for its encoding. Everything
// that the agent gave as JSON goes through it, also what is found inside its texts.
func CleanJSON(raw json.RawMessage) json.RawMessage {
	if tooDeep(raw) {
		return nil
	}
	if !utf8.Valid(raw) {
		raw = bytes.ToValidUTF8(raw, []byte(replacement))
	}
	if !hasSurrogate(raw) {
		return raw
	}
	clean := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); {
		high, n := escaped(raw[i:])
		switch {
		case n == 0:
			k := 1
			if raw[i] == '\\' {
				k = 2
			}
			clean = append(clean, raw[i:i+k]...)
			i += k
			continue
		case !utf16.IsSurrogate(high):
			clean = append(clean, raw[i:i+n]...)
		default:
			low, m := escaped(raw[i+n:])
			if utf16.DecodeRune(high, low) != utf8.RuneError {
				n += m
				clean = append(clean, raw[i:i+n]...)
			} else {
				clean = append(clean, replacement...)
			}
		}
		i += n
	}
	return clean
}

// hasSurrogate reports whether an escape may be half of a character.
func hasSurrogate(raw []byte) bool {
	return bytes.Contains(raw, []byte(`\ud`)) || bytes.Contains(raw, []byte(`\uD`))
}

// escaped reads an escape \uXXXX at the beginning of b, and gives its length, 0
// if there is none.
func escaped(b []byte) (unit rune, n int) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, 0
	}
	v, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	if err != nil {
		return 0, 0
	}
	return rune(v), 6
}

// tooDeep reports whether brackets outside of strings nest deeper than
// maxNesting.
func tooDeep(raw []byte) bool {
	if len(raw) <= 2*maxNesting || bytes.Count(raw, []byte("["))+bytes.Count(raw, []byte("{")) <= maxNesting {
		return false
	}
	depth, quoted := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[', c == '{':
			if depth++; depth > maxNesting {
				return true
			}
		case c == ']', c == '}':
			depth--
		}
	}
	return false
}

// decodeText decodes a JSON string and keeps the halves of characters that an
// agent cut in two: bytes as they are, surrogates in the three bytes that UTF-8
// would have for them. What is put together of such texts goes through
// wholeText. It is false for anything but a string; raw must be valid JSON.
func decodeText(raw []byte) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	raw = raw[1 : len(raw)-1]
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw), true
	}
	var b strings.Builder
	b.Grow(len(raw))
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			b.WriteByte(raw[i])
			i++
			continue
		}
		if unit, n := escaped(raw[i:]); n > 0 {
			writeUnit(&b, unit)
			i += n
			continue
		}
		b.WriteByte(unescape(raw[i+1]))
		i += 2
	}
	return joinSurrogates(b.String()), true
}

// writeUnit writes a UTF-16 code unit as UTF-8 would encode its number.
func writeUnit(b *strings.Builder, unit rune) {
	if !utf16.IsSurrogate(unit) {
		b.WriteRune(unit)
		return
	}
	b.Write([]byte{0xed, 0x80 | byte(unit>>6&0x3f), 0x80 | byte(unit&0x3f)})
}

func unescape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c // a quote, a slash, a backslash
}

// surrogateAt reads a surrogate that writeUnit wrote, 0 if there is none.
func surrogateAt(s string, i int) rune {
	if i+3 > len(s) || s[i] != 0xed || s[i+1] < 0xa0 || s[i+1] > 0xbf || s[i+2]&0xc0 != 0x80 {
		return 0
	}
	return 0xd000 | rune(s[i+1]&0x3f)<<6 | rune(s[i+2]&0x3f)
}

// joinSurrogates makes characters of the pairs in s.
func joinSurrogates(s string) string {
	if !strings.Contains(s, "\xed") {
		return s
	}
	var b strings.Builder
	done := 0
	for i := strings.IndexByte(s, 0xed); i >= 0 && i < len(s); i++ {
		r := utf16.DecodeRune(surrogateAt(s, i), surrogateAt(s, i+3))
		if r == utf8.RuneError {
			continue
		}
		b.WriteString(s[done:i])
		b.WriteRune(r)
		done = i + 6
		i = done - 1
	}
	if done == 0 {
		return s
	}
	b.WriteString(s[done:])
	return b.String()
}

// wholeText is a text of which pieces may be missing: halves of characters are
// left out.
func wholeText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(joinSurrogates(s), "")
}

// validText is a text that came in one piece: what is no character is shown as
// one that is missing.
func validText(s string) string { return strings.ToValidUTF8(s, replacement) }
