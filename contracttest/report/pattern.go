package report

import (
	"errors"
	"strings"
)

// Pattern selects rules by their id. It is an id in which a star stands for any
// text, the empty one included. A pattern with a slash selects cells: what is before
// the first slash is compared with the row, what is after it with the column. One
// without selects rules that are no cells.
type Pattern struct {
	text   string
	row    string
	rest   string // the column, or the id of a rule
	isCell bool
}

// ParsePattern reads a pattern. Any text is one but an empty one, and one that has an
// empty row or column.
func ParsePattern(text string) (Pattern, error) {
	p := Pattern{text: text, rest: text}
	if row, column, found := strings.Cut(text, "/"); found {
		p.row, p.rest, p.isCell = row, column, true
		if row == "" {
			return Pattern{}, errors.New("the row before the slash is empty")
		}
		if column == "" {
			return Pattern{}, errors.New("the column behind the slash is empty")
		}
	}
	if text == "" {
		return Pattern{}, errors.New("it is empty")
	}
	return p, nil
}

// String is the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Matches reports whether the pattern selects a rule.
func (p Pattern) Matches(id string) bool {
	row, rest, isCell := strings.Cut(id, "/")
	if !isCell {
		return !p.isCell && glob(p.rest, id)
	}
	return p.isCell && glob(p.row, row) && glob(p.rest, rest)
}

// glob compares a text with one in which stars stand for any text. Each part between
// two stars is taken where it comes first, so the time is bounded by the product of
// the lengths.
func glob(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	first, last := parts[0], parts[len(parts)-1]
	if len(parts) == 1 {
		return pattern == text
	}
	if len(text) < len(first)+len(last) || !strings.HasPrefix(text, first) || !strings.HasSuffix(text, last) {
		return false
	}
	text = text[len(first) : len(text)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		at := strings.Index(text, part)
		if at < 0 {
			return false
		}
		text = text[at+len(part):]
	}
	return true
}
