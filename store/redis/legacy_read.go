package redis

import (
	"context"
	"errors"
	"strings"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"parley/store"
	"parley/store/internal/wire"
)

// canonicalID is a legacy id as the API writes it: a UUID in small letters.
// Legacy names have it as some client once did.
func canonicalID(name string) string {
	if len(name) == 36 && uuid.Validate(name) == nil {
		return strings.ToLower(name)
	}
	return name
}

// legacyNames are the names that a conversation may have in legacy keys.
func legacyNames(id string) []string {
	if upper := strings.ToUpper(id); upper != id && len(id) == 36 && uuid.Validate(id) == nil {
		return []string{id, upper}
	}
	return []string{id}
}

// legacyRecord is what is kept of a legacy conversation.
type legacyRecord struct {
	id      string // of the conversation
	name    string // in the legacy keys
	data    []byte
	indexed bool    // the legacy index of the user that asks names it
	score   float64 // there
}

// belongsTo reports whether a record is o's. Whose it is comes before all else:
// one that does not decode must not tell a stranger that it is there. Where the
// record does not say it, the index does that was asked for.
func (r legacyRecord) belongsTo(o store.Owner) bool {
	owner, known := wire.LegacyOwner(r.data)
	return known && owner == o || !known && r.indexed
}

// decode reads a record that is the owner's. One that has no times is as old as
// its index says.
func (r legacyRecord) decode() (store.Conversation, error) {
	c, err := wire.DecodeLegacy(r.data, wire.LegacyTime(r.score))
	if err != nil || canonicalID(c.ID) != r.id {
		return store.Conversation{}, errCorrupt
	}
	c.ID = r.id
	return c, nil
}

// findLegacy reads o's legacy record of that id if there is one, in one round
// trip, which a stranger's record and none at all take as well.
func (s *Store) findLegacy(ctx context.Context, c *client, o store.Owner, id string) (r legacyRecord, found bool, err error) {
	if !s.readsLegacy {
		return r, false, nil
	}
	names := legacyNames(id)
	p := c.Pipeline()
	data, score := make([]*goredis.StringCmd, len(names)), make([]*goredis.FloatCmd, len(names))
	for i, name := range names {
		data[i] = p.Get(ctx, legacyKey(name))
		score[i] = p.ZScore(ctx, legacyIndexKey(o), name)
	}
	if err := send(ctx, p); err != nil {
		return r, false, err
	}
	for i, name := range names {
		text, err := data[i].Bytes()
		switch {
		case missing(err):
			continue
		case err != nil:
			return r, false, err
		}
		r = legacyRecord{id: id, name: name, data: text, indexed: true, score: score[i].Val()}
		if err := score[i].Err(); missing(err) {
			r.indexed = false
		} else if err != nil {
			return r, false, err
		}
		if r.belongsTo(o) {
			return r, true, nil
		}
	}
	return legacyRecord{}, false, nil
}

// missing reports that a legacy key is not there, or is of another type: then it
// is somebody else's.
func missing(err error) bool { return errors.Is(err, goredis.Nil) || isWrongType(err) }

// legacy is findLegacy with the record decoded.
func (s *Store) legacy(ctx context.Context, c *client, o store.Owner, id string) (kept store.Conversation, found bool, err error) {
	r, found, err := s.findLegacy(ctx, c, o, id)
	if err == nil && found {
		kept, err = r.decode()
	}
	return kept, found, err
}
