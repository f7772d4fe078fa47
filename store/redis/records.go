package redis

import (
	"context"
	"errors"
	"slices"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"parley/store"
	"parley/store/internal/wire"
)

// tail is how many messages a read of "what came after turn N" asks for at
// first. A caller that follows a conversation is nearly always within them.
const tail = 64

// Conversation implements store.Store.
func (s *Store) Conversation(ctx context.Context, o store.Owner, id string, after int) (store.Conversation, error) {
	var c store.Conversation
	err := s.do(ctx, "Conversation", func(ctx context.Context) error {
		from := int64(0)
		if after >= 0 {
			from = -tail
		}
		var whole bool
		var err error
		if c, whole, err = s.read(ctx, o, id, from, after); err == nil && !whole {
			c, _, err = s.read(ctx, o, id, 0, after)
		}
		if errors.Is(err, store.ErrNotFound) {
			// Read as it is: only a write converts it.
			old, found, lerr := s.legacy(ctx, o, id)
			if lerr != nil {
				return lerr
			}
			if found {
				c, err = old, nil
				c.Messages = slices.DeleteFunc(c.Messages, func(m store.Message) bool { return m.Turn <= after })
			}
		}
		return err
	})
	if err != nil {
		return store.Conversation{}, err
	}
	return c, nil
}

// read gets the fields and the messages from an index on in one round trip.
// Whole is false if messages after that turn stand before that index. The two
// commands do not run as one: a turn that commits between them shows its
// messages early, which harms nobody; a delete between them leaves fewer
// messages than the fields count, and is the delete it was.
func (s *Store) read(ctx context.Context, o store.Owner, id string, from int64, after int) (c store.Conversation, whole bool, err error) {
	k := s.keys(o, id)
	p := s.rdb().Pipeline()
	fieldsCmd := p.HGetAll(ctx, k[keyConversation])
	listCmd := p.LRange(ctx, k[keyMessages], from, -1)
	if _, err := p.Exec(ctx); err != nil {
		return c, false, err
	}
	fields, elements := fieldsCmd.Val(), listCmd.Val()
	if len(fields) == 0 || fields[wire.FieldState] == wire.StateStarting {
		return c, false, store.ErrNotFound
	}
	if c, err = wire.DecodeConversation(o, id, fields); err != nil {
		return c, false, errCorrupt
	}
	count, err := strconv.Atoi(fields[wire.FieldCount])
	if err != nil {
		return c, false, errCorrupt
	}
	if from < 0 {
		count = min(count, tail)
	}
	if len(elements) < count {
		return c, false, store.ErrNotFound
	}
	whole = from == 0 || len(elements) < tail
	first := len(elements)
	for first > 0 && wire.ElementTurn(elements[first-1]) > after {
		first--
	}
	if first > 0 {
		whole = true
	}
	if c.Messages, err = wire.DecodeElements(elements[first:]); err != nil {
		return c, false, errCorrupt
	}
	return c, whole, nil
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, o store.Owner, p store.Page) (store.Listing, error) {
	var out store.Listing
	var after *wire.Cursor
	if p.Cursor != "" {
		cur, err := wire.DecodeCursor(p.Cursor)
		if err != nil {
			return out, err
		}
		after = &cur
	}
	err := s.do(ctx, "List", func(ctx context.Context) (err error) {
		out, err = s.list(ctx, o, wire.PageLimit(p.Limit), after)
		return err
	})
	if err != nil {
		return store.Listing{}, err
	}
	return out, nil
}

func (s *Store) list(ctx context.Context, o store.Owner, limit int, after *wire.Cursor) (store.Listing, error) {
	ids, old, err := s.index(ctx, o, limit+1, after)
	if err != nil {
		return store.Listing{}, err
	}
	var out store.Listing
	rows := make([]store.Conversation, 0, len(ids)+len(old))
	if len(ids) > 0 {
		sums, err := s.rdb().HMGet(ctx, s.keys(o, "")[keySummaries], ids...).Result()
		if err != nil {
			return out, err
		}
		if len(sums) != len(ids) {
			return out, errShape
		}
		for i, v := range sums {
			text, ok := v.(string)
			if v == nil {
				continue // deleted between the two reads
			}
			c, err := wire.DecodeSummary(o, ids[i], text)
			if !ok || err != nil {
				out.Corrupt++
				continue
			}
			rows = append(rows, c)
		}
	}
	predecessors, skipped, err := s.legacyRows(ctx, o, old, rows)
	if err != nil {
		return out, err
	}
	out.Corrupt += skipped
	out.Conversations = merge(rows, predecessors, after)
	if len(out.Conversations) > limit {
		last := out.Conversations[limit-1]
		out.Conversations = out.Conversations[:limit]
		out.NextCursor = wire.Cursor{Updated: last.UpdatedAt, ID: last.ID}.Encode()
	}
	return out, nil
}

// index reads up to n ids of conversations that have not expired, from the
// cursor on, and the ids that the predecessor has for the user. Entries of the
// cursor's own millisecond that were shown before are read again and left out,
// so more are asked for as long as those use up the number.
func (s *Store) index(ctx context.Context, o store.Owner, n int, after *wire.Cursor) (ids, legacy []string, err error) {
	top := "+inf"
	if after != nil {
		top = strconv.FormatInt(after.Updated.UnixMilli(), 10)
	}
	oldest := "(" + strconv.FormatInt(wire.Millis(s.now()).UnixMilli()-s.ttl.Milliseconds(), 10)
	key := s.keys(o, "")[keyIndex]
	for offset := int64(0); ; {
		p := s.rdb().Pipeline()
		page := p.ZRevRangeByScoreWithScores(ctx, key, &goredis.ZRangeBy{Max: top, Min: oldest, Offset: offset, Count: int64(n)})
		var old *goredis.StringSliceCmd
		if offset == 0 {
			old = s.legacyIndex(ctx, p, o)
		}
		if _, err := p.Exec(ctx); err != nil {
			return nil, nil, err
		}
		if old != nil {
			legacy = old.Val()
		}
		for _, z := range page.Val() {
			id, ok := z.Member.(string)
			if !ok {
				return nil, nil, errShape
			}
			if after == nil || int64(z.Score) < after.Updated.UnixMilli() || id < after.ID {
				ids = append(ids, id)
			}
		}
		read := len(page.Val())
		if offset += int64(read); read < n || len(ids) >= n {
			return ids, legacy, nil
		}
	}
}

// SetStatus implements store.Store.
func (s *Store) SetStatus(ctx context.Context, o store.Owner, id string, status store.Status) (store.Conversation, error) {
	var c store.Conversation
	err := s.do(ctx, "SetStatus", func(ctx context.Context) error {
		return s.converting(ctx, o, id, func() error {
			stamp, score, ttl := s.stamp()
			r, err := s.eval(ctx, s.scripts.status, s.keys(o, id), id, stamp, score, ttl, string(status))
			if err != nil {
				return err
			}
			if err := outcome(r); err != nil {
				return err
			}
			fields, err := pairs(r[1:])
			if err != nil {
				return err
			}
			if c, err = wire.DecodeConversation(o, id, fields); err != nil {
				return errCorrupt
			}
			return nil
		})
	})
	return c, err
}

// Delete implements store.Store. Should the connection break, nobody knows
// whether the first try has deleted the conversation or there was none: a second
// that finds nothing leaves it at that.
func (s *Store) Delete(ctx context.Context, o store.Owner, id string) error {
	var lost error
	return s.do(ctx, "Delete", func(ctx context.Context) error {
		err := s.remove(ctx, o, id)
		switch {
		case errors.Is(err, store.ErrNotFound) && lost != nil:
			return lost
		case connectionLost(err):
			lost = err
		}
		return err
	})
}

func (s *Store) remove(ctx context.Context, o store.Owner, id string) error {
	r, err := s.eval(ctx, s.scripts.del, s.keys(o, id), id)
	if err != nil {
		return err
	}
	err = outcome(r)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	// Something of the predecessor's may stand behind it, or be all there is.
	gone, lerr := s.deleteLegacy(ctx, o, id)
	switch {
	case lerr != nil:
		return lerr
	case gone:
		return nil
	}
	return err
}
