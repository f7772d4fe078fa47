package wire

import (
	"encoding/binary"

	"parley/store"
)

// Mark says where a turn begins: behind how many messages, of how many bytes as
// elements.
type Mark struct{ At, Bytes int }

// Marks are kept as one string, of MarkSize bytes for each turn from the first on,
// so that those of some turns can be read alone. The greeting has none: it begins
// where the conversation does. The place is stored one higher than it is, because
// 0 says that nobody noted it. Those of the first InlineMarks turns are a field of
// the conversation, and with more all of them a key of their own, which a
// conversation of a few turns cannot afford.
const (
	MarkSize    = 8
	InlineMarks = 8
)

// MarkOffsets are the first and the last byte of the marks of turns from..to.
func MarkOffsets(from, to int) (first, last int64) {
	return int64(from-1) * MarkSize, int64(to)*MarkSize - 1
}

// Marks are those of some turns, as they are stored, the first of them that of From.
type Marks struct {
	From int
	Text []byte
}

// Of is a turn's, if somebody noted it.
func (m Marks) Of(turn int) (mark Mark, noted bool) {
	i := (turn - m.From) * MarkSize
	if i < 0 || i+MarkSize > len(m.Text) {
		return mark, false
	}
	at := binary.BigEndian.Uint32(m.Text[i:])
	if at == 0 {
		return mark, false
	}
	return Mark{int(at) - 1, int(binary.BigEndian.Uint32(m.Text[i+4:]))}, true
}

// MarksOf are the marks of whole lists of elements, up to the last turn.
func MarksOf(elements []string) string {
	var out []byte
	bytes := 0
	for i, e := range elements {
		for turn := ElementTurn(e); len(out)/MarkSize < turn; {
			out = binary.BigEndian.AppendUint32(out, uint32(i+1))
			out = binary.BigEndian.AppendUint32(out, uint32(min(bytes, 1<<32-1)))
		}
		bytes += len(e)
	}
	return string(out)
}

// Messages is how many messages a range asks for, within its bounds.
func Messages(r store.Range) int {
	if r.Limit <= 0 || r.Limit > store.MaxMessages {
		return store.MaxMessages
	}
	return r.Limit
}

// Part is a part of a conversation that is being put together from elements, which
// come one by one from one of its ends.
type Part struct {
	limit, bytes int
	turn         int
	taken        int // elements
	whole        int // of them, those of whole turns
}

// NewPart is an empty part of at most so many messages.
func NewPart(limit int) *Part { return &Part{limit: limit, turn: -1} }

// Take takes one more element, and says whether the part can have more.
func (p *Part) Take(element string) bool {
	turn := ElementTurn(element)
	if turn != p.turn {
		p.whole, p.turn = p.taken, turn
	}
	over := p.taken+1 > p.limit || p.bytes+len(element) > store.MaxRangeBytes
	if over && p.whole > 0 {
		return false // the turn does not fit
	}
	p.taken++
	p.bytes += len(element)
	return true
}

// End says that there are no more elements.
func (p *Part) End() { p.whole = p.taken }

// Len is how many of the elements that came are in the part.
func (p *Part) Len() int { return p.whole }

// PartOf finds a range in a whole list of elements: those from first to before
// last.
func PartOf(elements []string, r store.Range) (first, last int) {
	p := NewPart(Messages(r))
	if r.From > 0 {
		first = FirstOf(len(elements), r.From, func(i int) int { return ElementTurn(elements[i]) })
		for last = first; last < len(elements) && p.Take(elements[last]); last++ {
		}
		if last == len(elements) {
			p.End()
		}
		return first, first + p.Len()
	}
	last = len(elements)
	if r.Before > 0 {
		last = FirstOf(len(elements), r.Before, func(i int) int { return ElementTurn(elements[i]) })
	}
	for first = last; first > 0 && p.Take(elements[first-1]); first-- {
	}
	if first == 0 {
		p.End()
	}
	return last - p.Len(), last
}

// Tells says whether a range with these elements tells that a turn failed: it has
// messages of it, or begins right behind it.
func Tells(r store.Range, elements []string, turn int) bool {
	if r.From > 0 && turn == r.From-1 {
		return true
	}
	return len(elements) > 0 && turn >= ElementTurn(elements[0]) && turn <= ElementTurn(elements[len(elements)-1])
}

// FirstOf finds the first of n elements that is of a turn or of a later one.
func FirstOf(n, turn int, turnAt func(i int) int) int {
	low, high := 0, n
	for low < high {
		if mid := (low + high) / 2; turnAt(mid) < turn {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}
