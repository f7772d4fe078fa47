package wire

import (
	"cmp"
	"encoding/base64"
	"math"
	"strconv"
	"strings"

	"parley/store"
)

// Cursor is a place in a list: that of an entry of the index, whether or not what
// it names can be read.
type Cursor struct {
	Score float64 // Unix milliseconds, whole in all that this package writes
	ID    string  // as the index has it
}

// Compare orders places as a list does, which is how Redis reads a sorted set
// backwards: highest score first, and by descending id within a score.
func (c Cursor) Compare(d Cursor) int {
	return cmp.Or(cmp.Compare(d.Score, c.Score), strings.Compare(d.ID, c.ID))
}

// Bounds of a cursor. An index that somebody else has put a longer name into is
// still passed: a shortened name stands close enough to the name.
const (
	maxCursorID = 128
	maxCursor   = 512
)

// Encode gives the opaque form that callers see.
func (c Cursor) Encode() string {
	id := c.ID[:min(len(c.ID), maxCursorID)]
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatFloat(c.Score, 'f', -1, 64) + " " + id))
}

// DecodeCursor reads a cursor of Encode; anything else is store.ErrCursor.
func DecodeCursor(s string) (Cursor, error) {
	if len(s) > maxCursor {
		return Cursor{}, store.ErrCursor
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return Cursor{}, store.ErrCursor
	}
	text, id, ok := strings.Cut(string(b), " ")
	score, err := strconv.ParseFloat(text, 64)
	if !ok || err != nil || !(score >= 0 && score <= math.MaxInt64) || id == "" {
		return Cursor{}, store.ErrCursor
	}
	return Cursor{Score: score, ID: id}, nil
}
