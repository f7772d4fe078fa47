package copilot

import (
	"sort"
	"strings"
)

// Bounds of texts that are being written. What goes beyond them is not shown
// before the message is whole; the turn goes on.
const (
	maxStreams  = 64
	maxPartial  = 1 << 20 // bytes of one text
	maxChunks   = 20_000
	maxReorders = 256 // chunks out of order: each costs a new copy of the text
)

// partials puts together the texts of one turn that arrive in pieces. Pieces
// are typing activities; the whole is a message.
//
// Agents differ. Some send what comes next, some all so far; the first piece
// often does not name its stream, whose name is then the id of that activity;
// pieces come twice or out of order.
type partials []*partial // at most maxStreams, in the order in which they began

// partial is one text that is being written.
type partial struct {
	id     string
	pieces []piece // in order of seq
	seen   map[int]struct{}
	text   strings.Builder
	told   bool // a delta went out
	done   bool // the message came
	full   bool // a bound was reached: no more deltas

	chunks, reorders int
}

type piece struct {
	seq  int
	text string
}

// add takes in a piece and reports whether there is more text to show.
func (p *partials) add(a *activity) (*partial, bool) {
	s := p.open(first(a.stream.id, a.id))
	if s == nil || s.done || s.full || a.text == "" {
		return nil, false
	}
	if a.stream.seq > 0 {
		if _, again := s.seen[a.stream.seq]; again {
			return nil, false
		}
	}
	s.chunks++
	if s.chunks > maxChunks {
		s.full = true
		return nil, false
	}
	if a.stream.seq > 0 {
		if s.seen == nil {
			s.seen = map[int]struct{}{}
		}
		s.seen[a.stream.seq] = struct{}{}
	}
	if !s.merge(a.stream, a.text) {
		return nil, false
	}
	s.told = true
	return s, true
}

// open finds or begins a stream, nil when it has no name or there are too many.
func (p *partials) open(id string) *partial {
	if s := p.named(id); s != nil {
		return s
	}
	if id == "" || len(*p) >= maxStreams {
		return nil
	}
	s := &partial{id: id}
	*p = append(*p, s)
	return s
}

// named finds a stream, nil if it has not begun.
func (p *partials) named(id string) *partial {
	for _, s := range *p {
		if s.id == id {
			return s
		}
	}
	return nil
}

// merge puts text where it belongs and reports whether that changed anything.
func (s *partial) merge(info streamInfo, text string) bool {
	old := s.text.String()
	last := 0
	if n := len(s.pieces); n > 0 {
		last = s.pieces[n-1].seq
	}
	late := info.seq > 0 && info.seq < last
	switch {
	case !info.delta && late && strings.HasPrefix(old, text):
		return false // an older snapshot that was overtaken
	case !info.delta && !late && strings.HasPrefix(text, old):
		if len(text) > maxPartial {
			s.full = true
			return false
		}
		s.text.Reset()
		s.text.WriteString(text)
		s.pieces = append(s.pieces[:0], piece{max(info.seq, last), text})
		return text != old
	case s.text.Len()+len(text) > maxPartial:
		s.full = true
		return false
	case !late:
		s.text.WriteString(text)
		s.pieces = append(s.pieces, piece{max(info.seq, last), text})
		return true
	}
	s.reorders++
	if s.reorders > maxReorders {
		s.full = true
		return false
	}
	at := sort.Search(len(s.pieces), func(i int) bool { return s.pieces[i].seq > info.seq })
	s.pieces = append(s.pieces, piece{})
	copy(s.pieces[at+1:], s.pieces[at:])
	s.pieces[at] = piece{info.seq, text}
	s.text.Reset() // gives the old text away: deltas that went out still hold it
	for _, p := range s.pieces {
		s.text.WriteString(p.text)
	}
	return true
}

// finish gives the stream that a message completes, nil if there is none. After
// it, pieces of the stream are ignored.
func (p *partials) finish(a *activity) *partial {
	s := p.named(a.stream.id)
	if s == nil {
		s = p.named(a.id)
	}
	if s == nil && a.fromBot {
		// A message may come without its stream's name. It can only be meant
		// for the one text that is open, if it says that it is the last piece
		// or goes on where the text stopped.
		if only := p.onlyOpen(); only != nil && a.stream.id == "" &&
			(a.stream.kind == streamFinal || only.told && strings.HasPrefix(a.text, only.text.String())) {
			s = only
		}
	}
	if s == nil {
		if a.stream.kind == streamFinal {
			s = p.open(a.stream.id) // so that stragglers are known as such
		}
		if s == nil {
			return nil
		}
	}
	s.done = true
	return s
}

func (p *partials) onlyOpen() *partial {
	var only *partial
	for _, s := range *p {
		if s.done {
			continue
		}
		if only != nil {
			return nil
		}
		only = s
	}
	return only
}

// unfinished are the messages of texts whose end never came.
func (p *partials) unfinished() []Message {
	var all []Message
	for _, s := range *p {
		if !s.done && s.told {
			all = append(all, Message{
				ID: s.id, FromBot: true, Text: s.text.String(), StreamID: s.id, Incomplete: true,
			})
		}
	}
	return all
}
