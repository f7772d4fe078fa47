package redis

import (
	"context"
	"errors"
	"sort"

	goredis "github.com/redis/go-redis/v9"

	"parley/store"
	"parley/store/internal/wire"
)

// The predecessor's keys. They carry no prefix and no hash tag, so they are
// never named in a script together with ours.
func legacyKey(id string) string { return "conv:" + id }

func legacyIndexKey(o store.Owner) string { return "user:" + o.User + ":conversations" }

// converting runs a write and, if it finds nothing, looks for a record of the
// predecessor, stores it in today's form and runs the write again. Somebody
// else's record and no record at all cost the same.
func (s *Store) converting(ctx context.Context, o store.Owner, id string, write func() error) error {
	err := write()
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	c, found, lerr := s.legacy(ctx, o, id)
	if lerr != nil {
		return lerr
	}
	if !found {
		return err
	}
	if err := s.convert(ctx, c); err != nil {
		return err
	}
	return write()
}

// legacy reads a record of the predecessor if there is one and it is o's.
func (s *Store) legacy(ctx context.Context, o store.Owner, id string) (store.Conversation, bool, error) {
	data, found, err := s.legacyData(ctx, o, id)
	if err != nil || !found {
		return store.Conversation{}, false, err
	}
	c, err := wire.DecodeLegacy(data, s.now())
	if err != nil || c.ID != id {
		return store.Conversation{}, false, errCorrupt
	}
	return c, true, nil
}

// legacyData is legacy without the decoding. Whose a record is comes first: one
// that cannot be read must not tell a stranger that it is there.
func (s *Store) legacyData(ctx context.Context, o store.Owner, id string) (data []byte, found bool, err error) {
	data, err = s.rdb().Get(ctx, legacyKey(id)).Bytes()
	if errors.Is(err, goredis.Nil) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	owner, known := wire.LegacyOwner(data)
	return data, known && owner == o, nil
}

// convert stores a conversation of the predecessor in today's form and removes
// the old one. Its time to live begins anew, and so updatedAt has to: the index
// would take it for expired. Should the removal not happen, the new form is what counts from
// then on: the old is read only where the new is missing.
func (s *Store) convert(ctx context.Context, c store.Conversation) error {
	elements := make([]string, 0, len(c.Messages))
	for _, m := range c.Messages {
		e, err := wire.EncodeMessage(m)
		if err != nil {
			return errCorrupt
		}
		elements = append(elements, wire.Element(m.Turn, e))
	}
	stamp, score, ttl := s.stamp()
	args := []any{c.ID, stamp, score, ttl}
	args = appendList(args, elements)
	args = appendFields(args, wire.ImportFields(c))
	r, err := s.eval(ctx, s.scripts.imp, s.keys(c.Owner, c.ID), args...)
	if err != nil {
		return err
	}
	if err := outcome(r); err != nil {
		return err
	}
	return s.removeLegacy(ctx, c.Owner, c.ID)
}

func (s *Store) removeLegacy(ctx context.Context, o store.Owner, id string) error {
	if err := s.rdb().ZRem(ctx, legacyIndexKey(o), id).Err(); err != nil {
		return err
	}
	return s.rdb().Unlink(ctx, legacyKey(id)).Err()
}

// deleteLegacy removes o's record of the predecessor and says whether there
// was one.
func (s *Store) deleteLegacy(ctx context.Context, o store.Owner, id string) (bool, error) {
	_, found, err := s.legacyData(ctx, o, id)
	if err != nil || !found {
		return false, err
	}
	return true, s.removeLegacy(ctx, o, id)
}

// legacyIndex asks, within a pipeline, for the user's newest conversations of
// the predecessor: as many as a list can show.
func (s *Store) legacyIndex(ctx context.Context, p goredis.Pipeliner, o store.Owner) *goredis.StringSliceCmd {
	return p.ZRevRange(ctx, legacyIndexKey(o), 0, store.MaxPage-1)
}

// legacyRows reads the predecessor's conversations for a list, leaving out
// those that are in it already, expired or somebody else's: the predecessor's
// index does not know tenants.
func (s *Store) legacyRows(ctx context.Context, o store.Owner, ids []string, have []store.Conversation) (rows []store.Conversation, corrupt int, err error) {
	known := make(map[string]bool, len(have))
	for _, c := range have {
		known[c.ID] = true
	}
	for _, id := range ids {
		if known[id] {
			continue
		}
		c, found, err := s.legacy(ctx, o, id)
		switch {
		case errors.Is(err, errCorrupt):
			corrupt++
		case err != nil:
			return nil, 0, err
		case found:
			c.Messages = nil
			rows = append(rows, c)
		}
	}
	return rows, corrupt, nil
}

// merge puts two lists into one in the order of a list, from the cursor on.
func merge(a, b []store.Conversation, after *wire.Cursor) []store.Conversation {
	for _, c := range b {
		if after == nil || after.After(c.UpdatedAt, c.ID) {
			a = append(a, c)
		}
	}
	sort.SliceStable(a, func(i, j int) bool {
		first := wire.Cursor{Updated: a[i].UpdatedAt, ID: a[i].ID}
		return first.After(a[j].UpdatedAt, a[j].ID)
	})
	return a
}
