package copilot

import (
	"bytes"
	"slices"
	"strings"
)

// sameText reports whether a message is what the text before it became: they are
// alike, or more than half of the shorter is the same in front and at the end.
func sameText(a, b string) bool {
	const marks = " \n.!?…"
	if alike(a, b) {
		return true
	}
	a, b = strings.TrimRight(a, marks), strings.TrimRight(b, marks)
	shorter, n, m := min(len(a), len(b)), 0, 0
	for n < shorter && a[n] == b[n] {
		n++
	}
	for m < shorter-n && a[len(a)-1-m] == b[len(b)-1-m] {
		m++
	}
	return 2*(n+m) > shorter
}

// message makes the message of an activity, and gives the stream that it
// completes. Pieces of the stream that come later are ignored. It is false for a
// message that has been said before.
func (p *partials) message(a *activity) (Message, bool) {
	m := a.message()
	if !a.fromBot {
		return m, true
	}
	s := p.completes(a)
	switch {
	case s != nil && s.done:
		if m.Text == s.final || strings.TrimSpace(m.Text) == "" {
			m.Text = ""
		}
	case s != nil:
		if s.told {
			m.StreamID = s.id
			m.Text = s.whole(a, m.Text)
		}
		s.done, s.final = true, m.Text
	}
	m.ErrorCode = a.errorCode(m.Text)
	if s != nil && m.Text == "" && s.final != "" && len(m.Attachments) == 0 && len(m.Value) == 0 || p.again(m) {
		return Message{}, false
	}
	if len(p.said) == maxSaid {
		p.said = append(p.said[:0], p.said[1:]...)
	}
	p.said = append(p.said, m)
	return m, true
}

// whole is the text of a message that completes the stream: its own, unless it
// has none, or is marked as the last piece and is one.
func (s *partial) whole(a *activity, text string) string {
	old := s.text.String()
	switch {
	case strings.TrimSpace(text) == "":
		return wholeText(old)
	case a.stream.delta && len(a.text) < len(old) && !alike(old, a.text):
		return wholeText(old + a.text)
	}
	return text
}

// again reports whether the activity of a message came twice.
func (p *partials) again(m Message) bool {
	return m.ID != "" && slices.ContainsFunc(p.said, func(o Message) bool {
		return o.ID == m.ID && o.Text == m.Text && bytes.Equal(o.Value, m.Value) &&
			slices.EqualFunc(o.Attachments, m.Attachments, func(x, y Attachment) bool {
				return x.ContentType == y.ContentType && x.URL == y.URL && bytes.Equal(x.Content, y.Content)
			})
	})
}

// completes finds the stream whose message this is, nil if there is none.
func (p *partials) completes(a *activity) *partial {
	s := p.named(a.stream.id)
	if s == nil {
		s = p.named(a.id)
	}
	if s == nil {
		s = p.unnamed(a)
	}
	if s == nil && a.stream.kind == streamFinal && a.stream.id != "" {
		s = p.begin(a.stream.id, false) // so that stragglers are known as such
	}
	if s != nil && a.stream.id != "" {
		s.call(a.stream.id)
	}
	return s
}

// unnamed finds the stream of a message that does not name one that is known: a
// text that begins as it does, else the only one if the message says that it is
// the end of one.
func (p *partials) unnamed(a *activity) *partial {
	var open, likely []*partial
	for _, s := range p.streams {
		if s.done || !s.told || a.stream.id != "" && !s.anonymous {
			continue
		}
		open = append(open, s)
		if sameText(s.text.String(), a.text) {
			likely = append(likely, s)
		}
	}
	switch {
	case len(likely) > 0:
		return slices.MaxFunc(likely, func(x, y *partial) int { return x.text.Len() - y.text.Len() })
	case len(open) == 1 && a.stream.kind == streamFinal:
		return open[0]
	}
	return nil
}

// unfinished are the messages of texts whose end never came, but for those that
// the agent said in another message.
func (p *partials) unfinished() []Message {
	var all []Message
	for _, s := range p.streams {
		if s.done || !s.told {
			continue
		}
		text := wholeText(s.text.String())
		if slices.ContainsFunc(p.said, func(m Message) bool { return strings.Contains(m.Text, text) }) {
			continue
		}
		all = append(all, Message{ID: s.id, FromBot: true, Text: text, StreamID: s.id, Incomplete: true})
	}
	return all
}
