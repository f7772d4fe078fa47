package redis

import (
	"context"
	"errors"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"parley/store"
	"parley/store/internal/wire"
)

// parts is what is read of a conversation before its messages.
type parts struct {
	fields  map[string]string // without the failures
	length  int               // of the list of messages
	records int               // idempotency records, and what is kept with them
	summary *string           // nil if there is none
	lease   *string
	marks   map[int]wire.Mark // of the turns that the range may have
	failure *string           // of the turn before the range's first
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
func (s *Store) parts(ctx context.Context, c *client, o store.Owner, id string, r store.Range) (parts, error) {
	k := s.keys(o, id)
	p := c.Pipeline()
	fields := fieldsOf(ctx, p, k[keyConversation], wire.Fields)
	length, records := p.LLen(ctx, k[keyMessages]), p.HLen(ctx, k[keyRecords])
	summary, lease := p.HGet(ctx, k[keySummaries], id), p.Get(ctx, k[keyLease])
	many := p.StrLen(ctx, k[keyMarks])
	from, to := window(r)
	first, last := wire.MarkOffsets(from, to)
	if from == 0 {
		first, last = wire.MarkOffsets(1-to, 0) // from the end of the string
	}
	marks := p.GetRange(ctx, k[keyMarks], first, last)
	failure := p.HGet(ctx, k[keyConversation], wire.FieldFailPrefix+strconv.Itoa(max(0, r.From-1)))
	cmds, err := p.Exec(ctx)
	if err != nil && !errors.Is(err, goredis.Nil) {
		return parts{}, err
	}
	for _, cmd := range cmds { // Exec gives the first error, which may be that one is absent
		if err := cmd.Err(); err != nil && !errors.Is(err, goredis.Nil) {
			return parts{}, err
		}
	}
	values, ok := fields.Val().([]any)
	if !ok || len(values) != len(wire.Fields) {
		return parts{}, errShape
	}
	out := parts{
		fields: map[string]string{}, length: int(length.Val()), records: int(records.Val()),
		summary: present(summary), lease: present(lease), failure: present(failure),
	}
	for i, v := range values {
		if text, ok := v.(string); ok {
			out.fields[wire.Fields[i]] = text
		}
	}
	if from == 0 {
		from = max(1, int(many.Val())/wire.MarkSize-to+1)
	}
	out.marks = wire.DecodeMarks(marks.Val(), from)
	for turn, m := range wire.DecodeMarks(out.fields[wire.FieldMarks], 1) {
		out.marks[turn] = m
	}
	return out, nil
}

// fieldsOf asks for fields of a hash, within a pipeline, without the library's own
// reading of the answer: that takes a number for an array of as many elements, and
// waits for them.
func fieldsOf(ctx context.Context, p goredis.Pipeliner, key string, names []string) *goredis.Cmd {
	args := []any{"hmget", key}
	for _, n := range names {
		args = append(args, n)
	}
	return p.Do(ctx, args...)
}

// present is what a command found, nil if nothing.
func present(cmd *goredis.StringCmd) *string {
	if v, err := cmd.Result(); err == nil {
		return &v
	}
	return nil
}

// agrees says whether there are as many messages and records as the fields count.
func (p *parts) agrees() bool {
	messages, records := wire.Counts(p.fields)
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
	if err == nil && len(p.fields) > 0 && !p.agrees() {
		first := p
		p, err = s.parts(ctx, cl, o, id, r)
		messages, records := wire.Counts(p.fields)
		if err == nil && len(p.fields) > 0 &&
			(p.length < messages || messages < first.length || records >= 0 && (p.records < records || records < first.records)) {
			return c, p, errCorrupt
		}
	}
	if err != nil {
		return c, p, err
	}
	if len(p.fields) == 0 {
		return c, p, store.ErrNotFound
	}
	if c, err = wire.DecodeConversation(o, id, p.fields); err != nil {
		return c, p, errCorrupt
	}
	if p.fields[wire.FieldState] == wire.StateStarting {
		return c, p, store.ErrNotFound
	}
	if p.lease != nil && !wire.IsToken(*p.lease) {
		return c, p, errCorrupt
	}
	if p.summary != nil {
		if _, err := wire.DecodeSummary(o, id, *p.summary); err != nil {
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
			c.Failures = []store.TurnFailure{{Turn: c.Turns, Class: *p.failure}}
		}
		return c, nil, nil
	}
	m := &messages{client: cl, owner: o, conversation: s.keys(o, id)[keyConversation], list: s.keys(o, id)[keyMessages], turns: c.Turns}
	m.n, _ = wire.Counts(p.fields)
	m.bytes, _ = strconv.Atoi(p.fields[wire.FieldBytes])
	m.marks = p.marks
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
