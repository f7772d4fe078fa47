package redis

import (
	"context"
	"errors"

	goredis "github.com/redis/go-redis/v9"

	"parley/store"
	"parley/store/internal/wire"
)

// parts is what one round trip reads of a conversation.
type parts struct {
	fields   map[string]string
	elements []string // of the message list, from some index on
	length   int      // of the whole list
	records  int      // idempotency records
	summary  *string  // nil if there is none
	lease    *string
}

func (s *Store) parts(ctx context.Context, o store.Owner, id string, from int64) (parts, error) {
	k := s.keys(o, id)
	p := s.rdb().Pipeline()
	fields := p.HGetAll(ctx, k[keyConversation])
	elements := p.LRange(ctx, k[keyMessages], from, -1)
	length, records := p.LLen(ctx, k[keyMessages]), p.HLen(ctx, k[keyRecords])
	summary, lease := p.HGet(ctx, k[keySummaries], id), p.Get(ctx, k[keyLease])
	cmds, err := p.Exec(ctx)
	if err != nil && !errors.Is(err, goredis.Nil) {
		return parts{}, err
	}
	for _, cmd := range cmds { // Exec gives the first error, which may be that one is absent
		if err := cmd.Err(); err != nil && !errors.Is(err, goredis.Nil) {
			return parts{}, err
		}
	}
	return parts{
		fields: fields.Val(), elements: elements.Val(), length: int(length.Val()), records: int(records.Val()),
		summary: present(summary), lease: present(lease),
	}, nil
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

// read gets the fields and the messages from an index on, in one round trip.
// Whole is false if messages after that turn stand before that index.
//
// The commands do not run as one. A turn that commits between them shows its
// messages early, which harms nobody, and a delete leaves fewer than the fields
// count. Either is told from damage by a second look, which finds the fields of
// the one and nothing of the other.
func (s *Store) read(ctx context.Context, o store.Owner, id string, from int64, after int) (c store.Conversation, whole bool, err error) {
	p, err := s.parts(ctx, o, id, from)
	if err == nil && len(p.fields) > 0 && !p.agrees() {
		first := p
		p, err = s.parts(ctx, o, id, from)
		messages, records := wire.Counts(p.fields)
		if err == nil && len(p.fields) > 0 &&
			(p.length < messages || messages < first.length || records >= 0 && (p.records < records || records < first.records)) {
			return c, false, errCorrupt
		}
	}
	if err != nil {
		return c, false, err
	}
	if len(p.fields) == 0 {
		return c, false, store.ErrNotFound
	}
	if c, err = wire.DecodeConversation(o, id, p.fields); err != nil {
		return c, false, errCorrupt
	}
	if p.fields[wire.FieldState] == wire.StateStarting {
		return c, false, store.ErrNotFound
	}
	if p.lease != nil && !wire.IsToken(*p.lease) {
		return c, false, errCorrupt
	}
	if p.summary != nil {
		if _, err := wire.DecodeSummary(o, id, *p.summary); err != nil {
			return c, false, errCorrupt
		}
	}
	first := len(p.elements)
	for first > 0 {
		turn := wire.ElementTurn(p.elements[first-1])
		if turn < 0 {
			return c, false, errCorrupt
		}
		if turn <= after {
			break
		}
		first--
	}
	whole = first > 0 || len(p.elements) == p.length
	if c.Messages, err = wire.DecodeElements(p.elements[first:]); err != nil {
		return c, false, errCorrupt
	}
	if first > 0 && first == len(p.elements) { // nothing is returned, yet the last is what the rest goes on from
		if _, err := wire.DecodeElement(p.elements[first-1]); err != nil {
			return c, false, errCorrupt
		}
	}
	return c, whole, nil
}
