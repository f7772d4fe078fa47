package redis

import (
	"context"
	"errors"

	"parley/store"
	"parley/store/internal/wire"
)

// The legacy keys. They carry no prefix and no hash tag, so they are
// never named in a script together with ours.
func legacyKey(name string) string { return "conv:" + name }

func legacyIndexKey(o store.Owner) string { return "user:" + o.User + ":conversations" }

// converting runs a write and, if it finds nothing, looks for a legacy record,
// stores it in today's form and runs the write again. Somebody else's record and no record at all cost the same.
func (s *Store) converting(ctx context.Context, o store.Owner, id string, write func() error) error {
	err := write()
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	old, found, lerr := s.findLegacy(ctx, o, id)
	if lerr != nil {
		return lerr
	}
	if !found {
		return err
	}
	if err := s.convert(ctx, old); err != nil {
		return err
	}
	return write()
}

// convert stores a legacy conversation in today's form and removes
// the old one. Its time to live begins anew, and so updatedAt has to: the index
// would take it for expired. Should the removal not happen, the new form is what counts from
// then on: the old is read only where the new is missing.
func (s *Store) convert(ctx context.Context, old legacyRecord) error {
	c, err := old.decode()
	if err != nil {
		return err
	}
	elements := make([]string, 0, len(c.Messages))
	for _, m := range c.Messages {
		e, err := wire.EncodeMessage(m)
		if err != nil {
			return errCorrupt
		}
		elements = append(elements, wire.Element(m.Turn, e))
	}
	now, ttl := s.times()
	args := []any{c.ID, now, ttl}
	args = appendList(args, elements)
	args = appendFields(args, wire.ImportFields(c))
	r, err := s.eval(ctx, s.scripts.imp, s.keys(c.Owner, c.ID), args...)
	if err != nil {
		return err
	}
	if err := outcome(r); err != nil {
		return err
	}
	return s.removeLegacy(ctx, c.Owner, old.name)
}

func (s *Store) removeLegacy(ctx context.Context, o store.Owner, name string) error {
	if err := s.rdb().ZRem(ctx, legacyIndexKey(o), name).Err(); err != nil && !isWrongType(err) {
		return err
	}
	return s.rdb().Unlink(ctx, legacyKey(name)).Err()
}

// deleteLegacy removes o's legacy record and says whether there
// was one.
func (s *Store) deleteLegacy(ctx context.Context, o store.Owner, id string) (bool, error) {
	old, found, err := s.findLegacy(ctx, o, id)
	if err != nil || !found {
		return false, err
	}
	return true, s.removeLegacy(ctx, o, old.name)
}
