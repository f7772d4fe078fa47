package redis

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"parley/store"
	"parley/store/internal/wire"
)

// parts is what is read of a conversation before its messages.
type parts struct {
	fields  wire.Set
	more    bool // the hash has other fields, such as failures
	length  int  // of the list of messages
	records int  // idempotency records, and what is kept with them
	summary []byte
	listed  bool // there is a summary
	lease   []byte
	held    bool       // there is a lease
	marks   wire.Marks // of the turns that the range may have
	failure []byte     // of the turn before the range's first; nil if it has not failed
}

// window are the turns whose marks a range may need: as many as it may have
// messages, and one on either side. From 0 is counted from the end.
func window(r store.Range) (from, to int) {
	n := wire.Messages(r) + 1
	switch {
	case r.From > 0:
		return r.From, r.From + n
	case r.Before > 0:
		return max(1, r.Before-n), r.Before
	}
	return 0, n
}

// parts reads, in one round trip, all that is needed to know which messages a
// range has.
func (s *Store) parts(ctx context.Context, c *client, o store.Owner, id string, r store.Range) (p parts, err error) {
	k := s.keys(o, id)
	from, to := window(r)
	first, last := wire.MarkOffsets(from, to)
	if from == 0 {
		first, last = wire.MarkOffsets(1-to, 0) // from the end of the string
	}
	names := wire.Fields[:]
	if r.From > 0 {
		names = append(slices.Clip(names), wire.FieldFailPrefix+strconv.Itoa(r.From-1))
	}
	b := newBatch(8, 20+len(names))
	b.addAll("hmget", &k[keyConversation], names)
	b.add("hlen", &k[keyConversation])
	b.add("llen", &k[keyMessages])
	b.add("hlen", &k[keyRecords])
	b.add("hget", &k[keySummaries], &id)
	b.add("get", &k[keyLease])
	b.add("getrange", &k[keyMarks], first, last)
	if from == 0 {
		b.add("strlen", &k[keyMarks])
	}
	if err := b.send(ctx, c); err != nil {
		return p, err
	}
	return p, p.read(b, len(names), from, to)
}

// read reads the replies.
func (p *parts) read(b *batch, names, from, to int) error {
	values, err := b.next()
	if err != nil {
		return err
	}
	err = values.strings(names, func(i int, value []byte) {
		switch {
		case i == len(wire.Fields):
			p.failure = value
		case value != nil:
			p.fields.PutAt(i, value)
		}
	})
	if err != nil {
		return err
	}
	all, err := b.number()
	if err != nil {
		return err
	}
	p.more = all > p.fields.Len()
	if p.length, err = b.number(); err != nil {
		return err
	}
	if p.records, err = b.number(); err != nil {
		return err
	}
	if p.summary, p.listed, err = b.text(); err != nil {
		return err
	}
	if p.lease, p.held, err = b.text(); err != nil {
		return err
	}
	p.marks.From = from
	if p.marks.Text, _, err = b.text(); err != nil || from > 0 {
		return err
	}
	many, err := b.number()
	p.marks.From = max(1, many/wire.MarkSize-to+1)
	return err
}

// agrees says whether there are as many messages and records as the fields count.
func (p *parts) agrees() bool {
	messages, records := p.fields.Counts()
	return p.length == messages && (records < 0 || p.records == records)
}

// look reads the parts and judges them.
//
// The commands do not run as one. A turn that commits between them is seen by some
// only, which harms nobody, and a delete leaves fewer messages than the fields
// count. Either is told from damage by a second look, which finds the fields of the
// one and nothing of the other.
func (s *Store) look(ctx context.Context, cl *client, o store.Owner, id string, r store.Range) (c store.Conversation, p parts, err error) {
	p, err = s.parts(ctx, cl, o, id, r)
	if err == nil && p.fields.Len() > 0 && !p.agrees() {
		first := p
		p, err = s.parts(ctx, cl, o, id, r)
		messages, records := p.fields.Counts()
		if err == nil && p.fields.Len() > 0 &&
			(p.length < messages || messages < first.length || records >= 0 && (p.records < records || records < first.records)) {
			return c, p, errCorrupt
		}
	}
	if err != nil {
		return c, p, err
	}
	if p.fields.Len() == 0 {
		return c, p, store.ErrNotFound
	}
	if c, err = p.fields.Decode(o, id); err != nil {
		return c, p, errCorrupt
	}
	if p.fields.Starting() {
		return c, p, store.ErrNotFound
	}
	if p.held && !wire.IsToken(string(p.lease)) {
		return c, p, errCorrupt
	}
	if p.listed {
		if _, err := wire.DecodeSummary(o, id, p.summary); err != nil {
			return c, p, errCorrupt
		}
	}
	return c, p, nil
}

// read gets a conversation and a range of its messages, in two round trips, or in
// one when the range is empty. Where nobody noted where the turns begin, which the
// first edition did not, it takes more. The messages come as elements: to decode them
// is no part of the call's time.
func (s *Store) read(ctx context.Context, cl *client, o store.Owner, id string, r store.Range) (store.Conversation, []string, error) {
	c, p, err := s.look(ctx, cl, o, id, r)
	if err != nil {
		return store.Conversation{}, nil, err
	}
	if r.From > c.Turns {
		c.Earlier = p.length > 0
		if p.failure != nil && r.From-1 == c.Turns {
			c.Failures = []store.TurnFailure{{Turn: c.Turns, Class: string(p.failure)}}
		}
		return c, nil, nil
	}
	k := s.keys(o, id)
	m := &messages{client: cl, owner: o, conversation: k[keyConversation], list: k[keyMessages], turns: c.Turns, bytes: p.fields.Bytes(), failing: p.more}
	m.n, _ = p.fields.Counts()
	m.early, m.marks = p.fields.Marks(), p.marks
	found, err := m.marked(ctx, r)
	if err == nil && !found {
		err = m.walked(ctx, r)
	}
	if errors.Is(err, errChanged) {
		if _, _, gone := s.look(ctx, cl, o, id, r); gone != nil {
			return store.Conversation{}, nil, gone
		}
		return store.Conversation{}, nil, errCorrupt
	}
	if err != nil {
		return store.Conversation{}, nil, err
	}
	c.Earlier, c.Later = m.first > 0, m.last < m.n
	c.Failures = m.failures
	return c, m.elements, nil
}
