package redis

import (
	"context"
	"errors"
	"slices"
	"strconv"

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

// SetStatus implements store.Store.
func (s *Store) SetStatus(ctx context.Context, o store.Owner, id string, status store.Status) (store.Conversation, error) {
	var c store.Conversation
	err := s.do(ctx, "SetStatus", func(ctx context.Context) error {
		return s.converting(ctx, o, id, func() error {
			now, ttl := s.times()
			r, err := s.eval(ctx, s.scripts.status, s.keys(o, id), id, now, ttl, string(status))
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
	// A legacy record may stand behind it, or be all there is.
	gone, lerr := s.deleteLegacy(ctx, o, id)
	switch {
	case lerr != nil:
		return lerr
	case gone:
		return nil
	}
	return err
}
