package wire

import (
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"parley/store"
)

// appendPlain appends a message of text alone, as most are, in the form that plain reads.
// It gives up (false) on every other. Package json looks up what a message consists of
// at each, which takes three times as long.
func appendPlain(b []byte, m *store.Message) (_ []byte, ok bool) {
	if m.CardJSON != nil || m.CardID != "" || m.ExtractedPayload != nil || m.AgentError != "" || m.TraceID != "" || m.Stopped {
		return b, false
	}
	members := [...]struct{ name, value string }{
		{`{"id":`, m.ID}, {`,"role":`, string(m.Role)}, {`,"kind":`, string(m.Kind)}, {`,"text":`, m.Text},
	}
	list := members[:]
	if m.Text == "" {
		list = list[:len(list)-1]
	}
	for _, member := range list {
		var err error
		if b, err = jsontext.AppendQuote(append(b, member.name...), member.value); err != nil {
			return b, false // no UTF-8
		}
	}
	return append(b, '}'), true
}

// plain reads a message in the form in which EncodeMessage writes one of text alone, which
// most are: to decode them is most of what a page of a conversation costs. Its texts are
// parts of what was read, not copies. It gives up (false) on everything else, damage
// included, which is then read with a package for JSON.
func plain(encoded string) (m store.Message, ok bool) {
	rest, ok := strings.CutPrefix(encoded, `{"id":`)
	if !ok {
		return m, false
	}
	if m.ID, rest, ok = quoted(rest); !ok {
		return m, false
	}
	role, rest, ok := member(rest, `,"role":`)
	if !ok {
		return m, false
	}
	kind, rest, ok := member(rest, `,"kind":`)
	if !ok {
		return m, false
	}
	if m.Role, m.Kind = roleOf(role), kindOf(kind); m.Role == "" || m.Kind == "" {
		return m, false
	}
	if strings.HasPrefix(rest, `,"text":`) {
		if m.Text, rest, ok = member(rest, `,"text":`); !ok {
			return m, false
		}
	}
	return m, rest == "}"
}

// roleOf and kindOf are what a text says, without keeping it; empty if it is none.
func roleOf(s string) store.Role {
	for _, r := range [...]store.Role{store.RoleUser, store.RoleAssistant} {
		if s == string(r) {
			return r
		}
	}
	return ""
}

func kindOf(s string) store.Kind {
	for _, k := range [...]store.Kind{store.KindText, store.KindCard} {
		if s == string(k) {
			return k
		}
	}
	return ""
}

// member reads a string behind its name.
func member(s, name string) (value, rest string, ok bool) {
	if rest, ok = strings.CutPrefix(s, name); !ok {
		return "", s, false
	}
	return quoted(rest)
}

// quoted reads a JSON string, and gives up on one that is not valid.
func quoted(s string) (value, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		return "", s, false
	}
	escaped, ascii := false, true
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return unquoted(s[:i+1], s[i+1:], escaped, ascii)
		case c == '\\':
			escaped = true
			i++ // whatever follows is no end
		case c < ' ':
			return "", s, false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return "", s, false
}

func unquoted(literal, behind string, escaped, ascii bool) (value, rest string, ok bool) {
	value = literal[1 : len(literal)-1]
	if !escaped {
		return value, behind, ascii || utf8.ValidString(value)
	}
	text, err := jsontext.AppendUnquote(make([]byte, 0, len(literal)), literal)
	return string(text), behind, err == nil
}
