package copilot

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of texts that are being written. What goes beyond them is not shown
// before the message is whole; the turn goes on. How many pieces there may be is
// bounded by Limits alone.
const (
	maxStreams = 64
	maxPartial = 1 << 20  // bytes of one text
	maxRebuilt = 64 << 20 // bytes copied to put pieces between others
	maxPieces  = 256      // that are kept apart, to put others between them
	maxSaid    = 256      // messages that are remembered
)

// partials puts together the texts of one turn that arrive in pieces. Pieces
// are typing activities; the whole is a message.
//
// Agents differ. Some send what comes next, some all so far, and take some of it
// back; the first piece often does not name its stream, whose name is then the
// id of that activity; pieces come twice or out of order, or are cut in the
// middle of a character; the whole comes without a name, without a text, or not
// at all.
type partials struct {
	streams []*partial // at most maxStreams, in the order in which they began
	said    []Message  // the newest maxSaid of the agent's
}

// partial is one text that is being written.
type partial struct {
	id        string   // as it is told
	names     []string // others that the agent has for it
	anonymous bool     // no piece has named it

	mode   textMode
	text   strings.Builder // of all pieces
	apart  []piece         // the newest, in order of seq
	folded int             // text in front of them, in bytes
	before int             // the highest seq in there
	broken bool            // a piece begins or ends within a character
	shown  string          // what the last delta said
	told   bool            // a delta went out
	done   bool            // the message came
	final  string          // its text
	full   bool            // a bound was reached: no more deltas

	rebuilt int
}

// piece is a part of a text. One without a number has that of the piece before.
type piece struct {
	seq      int
	numbered bool
	text     string
}

// textMode says what the pieces of a text are.
type textMode int

const (
	modeUnknown  textMode = iota
	modeSnapshot          // all so far
	modeDelta             // what comes next
	modeMarked            // the same, and the agent says so
)

// add takes in a piece. It returns its stream and what the text is now, if that
// is news.
func (p *partials) add(a *activity) (*partial, string, bool) {
	s := p.streamOf(a)
	if s == nil || s.done || s.full || a.text == "" {
		return nil, "", false
	}
	s.broken = s.broken || !utf8.ValidString(a.text)
	if !s.merge(a.stream, a.text) {
		return nil, "", false
	}
	text := s.text.String()
	if s.broken {
		if text = wholeText(text); text == s.shown {
			return nil, "", false // half a character
		}
	}
	s.shown, s.told = text, true
	return s, text, true
}

// streamOf finds the stream of a piece, or begins it. It is nil when there are
// too many.
func (p *partials) streamOf(a *activity) *partial {
	if id := a.stream.id; id != "" {
		s := p.named(id)
		if s == nil && a.stream.seq > 1 {
			// The first piece named no stream, and this is not its id.
			if s = p.anonymous(); s != nil && (s.done || s.last() >= a.stream.seq) {
				s = nil
			}
		}
		if s == nil {
			return p.begin(id, false)
		}
		s.call(id)
		return s
	}
	if s := p.named(a.id); s != nil {
		return s
	}
	if s := p.anonymous(); s != nil && (a.stream.seq > 1 || !s.done && !s.has(a.stream.seq)) {
		return s
	}
	return p.begin(a.id, true)
}

func (p *partials) begin(id string, anonymous bool) *partial {
	if len(p.streams) >= maxStreams {
		return nil
	}
	if id == "" {
		id = fmt.Sprintf("#%d", len(p.streams)+1)
	}
	s := &partial{id: id, anonymous: anonymous}
	p.streams = append(p.streams, s)
	return s
}

// named finds a stream, nil if it has not begun.
func (p *partials) named(id string) *partial {
	for _, s := range p.streams {
		if id != "" && (s.id == id || slices.Contains(s.names, id)) {
			return s
		}
	}
	return nil
}

// anonymous is the newest stream that no piece has named: one that is being
// written, else one that is whole.
func (p *partials) anonymous() *partial {
	var newest *partial
	for _, s := range p.streams {
		if s.anonymous && (newest == nil || newest.done || !s.done) {
			newest = s
		}
	}
	return newest
}

// call notes the name that the agent has for a stream.
func (s *partial) call(id string) {
	s.anonymous = false
	if s.id != id && !slices.Contains(s.names, id) {
		s.names = append(s.names, id)
	}
}

// last is the highest number of a piece, 0 if none had one.
func (s *partial) last() int {
	if n := len(s.apart); n > 0 {
		return s.apart[n-1].seq
	}
	return s.before
}

// has reports whether a piece of that number came, or comes too late.
func (s *partial) has(seq int) bool {
	if seq == 0 || seq > s.last() {
		return false
	}
	return seq <= s.before || slices.ContainsFunc(s.apart, func(p piece) bool { return p.numbered && p.seq == seq })
}

// merge puts text where it belongs and reports whether that changed anything.
func (s *partial) merge(info streamInfo, text string) bool {
	if s.has(info.seq) {
		return false
	}
	late := info.seq > 0 && info.seq < s.last()
	if s.isSnapshot(info, text, late) {
		return !late && s.replace(info, text)
	}
	if s.text.Len()+len(text) > maxPartial {
		s.full = true
		return false
	}
	if late {
		return s.insert(info.seq, text)
	}
	s.text.WriteString(text)
	s.apart = append(s.apart, piece{max(info.seq, s.last()), info.seq > 0, text})
	if len(s.apart) > maxPieces {
		half := maxPieces / 2
		for _, p := range s.apart[:half] {
			s.folded += len(p.text)
		}
		s.before = s.apart[half-1].seq
		s.apart = append(s.apart[:0], s.apart[half:]...)
	}
	return true
}

// isSnapshot judges whether a piece is all of the text so far. Where the agent
// does not say, the second piece tells: a snapshot begins as the first does.
func (s *partial) isSnapshot(info streamInfo, text string, late bool) bool {
	if info.delta {
		s.mode = modeMarked
		return false
	}
	old := s.text.String()
	if s.broken {
		old = wholeText(old) // of which a snapshot completes the half at the end
	}
	switch {
	case old == "", s.mode == modeMarked && late:
		return false
	case s.mode == modeSnapshot:
		return true
	case s.mode == modeMarked:
		return strings.HasPrefix(text, old)
	case !late && strings.HasPrefix(text, old), s.mode == modeUnknown && alike(old, text):
		s.mode = modeSnapshot
		return true
	}
	s.mode = modeDelta
	return false
}

// replace makes text all that there is.
func (s *partial) replace(info streamInfo, text string) bool {
	if len(text) > maxPartial {
		s.full = true
		return false
	}
	last, same := s.last(), text == s.text.String()
	s.text = strings.Builder{} // deltas that went out still hold the old text
	s.text.WriteString(text)
	s.folded, s.before = 0, 0
	s.apart = append(s.apart[:0], piece{max(info.seq, last), info.seq > 0, text})
	return !same
}

// insert puts a piece between those that came before it.
func (s *partial) insert(seq int, text string) bool {
	s.rebuilt += s.text.Len()
	if s.rebuilt > maxRebuilt {
		s.full = true
		return false
	}
	at := slices.IndexFunc(s.apart, func(p piece) bool { return p.seq > seq })
	s.apart = slices.Insert(s.apart, at, piece{seq, true, text})
	front := s.text.String()[:s.folded]
	s.text = strings.Builder{} // deltas that went out still hold the old text
	s.text.WriteString(front)
	for _, p := range s.apart {
		s.text.WriteString(p.text)
	}
	return true
}

// alike reports whether two texts begin with the same words: one goes on where
// the other ends, or more than half of the shorter is the same.
func alike(a, b string) bool {
	shorter, n := min(len(a), len(b)), 0
	for n < shorter && a[n] == b[n] {
		n++
	}
	return shorter > 0 && (n == shorter || 2*n > shorter)
}
