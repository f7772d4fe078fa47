package redis

import (
	"context"
	"errors"

	"parley/store"
	"parley/store/internal/wire"
)

// Conversation implements store.Store.
func (s *Store) Conversation(ctx context.Context, o store.Owner, id string, r store.Range) (store.Conversation, error) {
	const op = "Conversation"
	var c store.Conversation
	var elements []string
	err := s.do(ctx, o, op, func(ctx context.Context, cl *client) (err error) {
		c, elements, err = s.read(ctx, cl, o, id, r)
		if !s.readsLegacy || !errors.Is(err, store.ErrNotFound) {
			return err
		}
		// Read as it is: only a write converts it.
		old, found, err := s.legacy(ctx, cl, o, id)
		switch {
		case err != nil:
			return err
		case !found:
			c, elements, err = s.read(ctx, cl, o, id, r) // it may have been converted between the two
			return err
		}
		c = old
		elements := make([]string, 0, len(c.Messages))
		for _, m := range c.Messages {
			e, err := wire.EncodeMessage(m)
			if err != nil {
				return errCorrupt
			}
			elements = append(elements, wire.Element(m.Turn, e))
		}
		first, last := wire.PartOf(elements, r)
		c.Earlier, c.Later = first > 0, last < len(elements)
		c.Messages = c.Messages[first:last]
		return nil
	})
	switch {
	case err != nil:
		return store.Conversation{}, err
	case c.Messages != nil: // those of a legacy record
		return c, nil
	}
	end, err := s.large.Work(ctx, op, o, wire.Bytes(elements))
	if err != nil {
		return store.Conversation{}, err
	}
	defer end()
	if c.Messages, err = wire.DecodeElements(elements); err != nil {
		return store.Conversation{}, &store.Error{Op: op, Kind: store.ErrCorrupt, Cause: errCorrupt}
	}
	return c, nil
}

// SetStatus implements store.Store.
func (s *Store) SetStatus(ctx context.Context, o store.Owner, id string, status store.Status) (store.Conversation, error) {
	var c store.Conversation
	err := s.do(ctx, o, "SetStatus", func(ctx context.Context, cl *client) error {
		return s.converting(ctx, cl, o, id, func() error {
			r, err := s.eval(ctx, cl, s.scripts.status, s.at(o, id), s.time(), string(status))
			if err != nil {
				return err
			}
			if err := outcome(r); err != nil {
				return err
			}
			fields, err := fieldsOf(r[1:])
			if err != nil {
				return err
			}
			if c, err = fields.Decode(o, id); err != nil {
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
	return s.do(ctx, o, "Delete", func(ctx context.Context, c *client) error {
		err := s.remove(ctx, c, o, id)
		switch {
		case errors.Is(err, store.ErrNotFound) && lost != nil:
			return lost
		case connectionLost(err):
			lost = err
		}
		return err
	})
}

// remove looks for a legacy record first, because only Go can tell whose it is.
// One script removes that and everything of ours: an import between the two
// finds the record gone, or is removed as well.
func (s *Store) remove(ctx context.Context, c *client, o store.Owner, id string) error {
	at := s.at(o, id)
	old, found, err := s.findLegacy(ctx, c, o, id)
	if err != nil {
		return err
	}
	if found {
		at = s.withLegacy(o, old)
	}
	r, err := s.eval(ctx, c, s.scripts.del, at.relayed(), old.name)
	if err != nil {
		return err
	}
	return outcome(r)
}
