package redis

import (
	"context"
	"errors"
	"strconv"

	"parley/store"
	"parley/store/internal/wire"
)

// The legacy keys. They carry no prefix and no hash tag: a script that names them
// together with ours works on a single node only.
func legacyKey(name string) string { return "conv:" + name }

func legacyIndexKey(o store.Owner) string { return "user:" + o.User + ":conversations" }

// withLegacy is the spot of a conversation with its legacy record. The two are
// moved, or removed, in one step.
func (s *Store) withLegacy(o store.Owner, old legacyRecord) spot {
	at := s.at(o, old.id)
	at.keys = append(at.keys, legacyKey(old.name), legacyIndexKey(o))
	return at
}

// converting runs a write and, if it finds nothing, looks for a legacy record,
// moves it to today's form and runs the write again. Somebody else's record and
// no record at all cost the same.
func (s *Store) converting(ctx context.Context, c *client, o store.Owner, id string, write func() error) error {
	err := write()
	for s.readsLegacy && errors.Is(err, store.ErrNotFound) {
		old, found, lerr := s.findLegacy(ctx, c, o, id)
		if lerr != nil {
			return lerr
		}
		if !found {
			return write() // somebody may have moved it between the two
		}
		if err = s.convert(ctx, c, o, old); err == nil {
			return write()
		}
	}
	return err
}

// convert moves a legacy conversation to today's form, if the record is still
// what was read; else it was deleted or written to meanwhile, and the error is
// store.ErrNotFound. Its time to live begins anew, and so updatedAt has to: the
// index would take it for expired.
func (s *Store) convert(ctx context.Context, c *client, o store.Owner, old legacyRecord) error {
	conv, err := old.decode()
	if err != nil {
		return err
	}
	elements, size := make([]string, 0, len(conv.Messages)), 0
	for _, m := range conv.Messages {
		e, err := wire.EncodeMessage(m)
		if err != nil {
			return errCorrupt
		}
		elements = append(elements, wire.Element(m.Turn, e))
		size += len(elements[len(elements)-1])
	}
	args := []any{s.time(), old.name, old.data, wire.MarksOf(elements)}
	args = appendList(args, elements)
	fields := wire.ImportFields(conv)
	fields[wire.FieldBytes] = strconv.Itoa(size)
	args = appendFields(args, fields)
	r, err := s.eval(ctx, c, s.scripts.imp, s.withLegacy(o, old), args...)
	if err != nil {
		return err
	}
	return outcome(r)
}
