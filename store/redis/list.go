package redis

import (
	"context"
	"math"
	"slices"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"parley/store"
	"parley/store/internal/wire"
)

// Bounds of one page. A page that runs into one of them is shorter than it was
// asked for, and its cursor goes on from there.
const (
	// maxRounds of reading the index, each of three round trips at the most.
	// Nearly always one is enough: another is needed only when entries turn out to
	// have ended, or to be somebody else's.
	maxRounds = 8
	// maxWindow is how many entries of an index one round reads.
	maxWindow = 1024
	// maxLegacyBytes of legacy records, which have to be read as a whole. The
	// first is read whatever its size, so that every page gets on.
	maxLegacyBytes = 8 << 20
)

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
	err := s.do(ctx, o, "List", func(ctx context.Context, c *client) (err error) {
		out, err = s.list(ctx, c, o, wire.PageLimit(p.Limit), after)
		return err
	})
	if err != nil {
		return store.Listing{}, err
	}
	return out, nil
}

func (s *Store) list(ctx context.Context, c *client, o store.Owner, limit int, after *wire.Cursor) (store.Listing, error) {
	p := &page{store: s, client: c, owner: o, limit: limit, at: after}
	for round, n := 1, limit+1; ; round, n = round+1, min(max(2*n, store.MaxPage), maxWindow) {
		p.round = round
		entries, more, err := s.window(ctx, c, o, p.at, n)
		if err != nil {
			return store.Listing{}, err
		}
		taken, err := p.take(ctx, entries)
		switch {
		case err != nil:
			return store.Listing{}, err
		case taken == len(entries) && !more:
			return p.out, nil
		case p.full, p.bytes >= maxLegacyBytes, round == maxRounds:
			p.out.NextCursor = p.at.Encode()
			return p.out, nil
		}
	}
}

// entry is a place in a list: an entry of the owner's index, or of the legacy one.
type entry struct {
	at     wire.Cursor // where it stands; its ID is as the index has it
	id     string      // of the conversation
	legacy bool

	gone    bool   // what it names is not there, or not by that entry
	damaged bool   // what it names is there and cannot be read
	size    int64  // of a legacy record
	text    string // summary or legacy record; empty for none
	fetched bool   // text was read
}

// window reads up to n entries of both indexes from the cursor on, in the order
// of a list, and says whether there may be more.
func (s *Store) window(ctx context.Context, c *client, o store.Owner, after *wire.Cursor, n int) (entries []entry, more bool, err error) {
	sources := []*source{{key: s.keys(o, "")[keyIndex], high: math.Inf(1)}}
	if s.readsLegacy {
		sources = append(sources, &source{key: legacyIndexKey(o), high: wire.MaxLegacyScore, legacy: true})
	}
	for pending := slices.Clone(sources); len(pending) > 0; {
		p := c.Pipeline()
		for _, src := range pending {
			src.ask(ctx, p, after, n)
		}
		if err := send(ctx, p); err != nil {
			return nil, false, err
		}
		for _, src := range pending {
			if err := src.answer(after, n); err != nil {
				return nil, false, err
			}
		}
		pending = slices.DeleteFunc(pending, func(src *source) bool { return src.ended || len(src.entries) >= n })
	}
	for _, src := range sources {
		entries = append(entries, src.entries...)
		more = more || !src.ended
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return a.at.Compare(b.at) })
	if len(entries) > n {
		entries, more = entries[:n], true
	}
	return entries, more, nil
}

// source is one index that is being read.
type source struct {
	key    string
	high   float64 // scores above are nothing of ours
	legacy bool

	cmd     *goredis.ZSliceCmd
	asked   int64 // how many it was asked for last
	offset  int64 // how many it gave
	entries []entry
	ended   bool // it has no more
}

// ask asks for n entries, within a pipeline. Those with the cursor's own score
// that were shown before are read again, so more are asked for each time they
// used up the number.
func (src *source) ask(ctx context.Context, p goredis.Pipeliner, after *wire.Cursor, n int) {
	top, count := src.high, int64(n)
	if after != nil {
		top, count = min(top, after.Score), count+1 // the cursor's own entry comes again
	}
	src.asked = max(count, 2*src.asked)
	src.cmd = p.ZRevRangeByScoreWithScores(ctx, src.key, &goredis.ZRangeBy{
		Max: strconv.FormatFloat(top, 'f', -1, 64), Min: "0", Offset: src.offset, Count: src.asked,
	})
}

// answer takes what came. A legacy name may be that of somebody else's key, of
// another type: then there is nothing legacy.
func (src *source) answer(after *wire.Cursor, n int) error {
	read, err := src.cmd.Result()
	switch {
	case src.legacy && isWrongType(err):
		src.ended = true
		return nil
	case err != nil:
		return err
	}
	for _, z := range read {
		member, ok := z.Member.(string)
		if !ok || math.IsNaN(z.Score) {
			return errShape
		}
		e := entry{at: wire.Cursor{Score: z.Score, ID: member}, id: member, legacy: src.legacy}
		if src.legacy {
			e.id = canonicalID(member)
		}
		if after == nil || after.Compare(e.at) < 0 {
			src.entries = append(src.entries, e)
		}
	}
	src.offset += int64(len(read))
	src.ended = int64(len(read)) < src.asked
	if len(src.entries) > n {
		src.entries, src.ended = src.entries[:n], false
	}
	return nil
}

func isWrongType(err error) bool { return err != nil && goredis.HasErrorPrefix(err, "WRONGTYPE") }

// page is one page that is being filled.
type page struct {
	store  *Store
	client *client
	owner  store.Owner
	limit  int

	out   store.Listing
	round int          // of reading the index
	at    *wire.Cursor // of the last entry that was taken
	full  bool         // there is one more that found no room
	bytes int64        // of legacy records that were read
}

// take puts entries on the page, in order, and says how many it has dealt with.
func (p *page) take(ctx context.Context, entries []entry) (int, error) {
	if len(entries) == 0 {
		return 0, nil
	}
	if err := p.probe(ctx, entries); err != nil {
		return 0, err
	}
	if err := p.fetch(ctx, entries); err != nil {
		return 0, err
	}
	for i, e := range entries {
		if !e.gone {
			if !e.fetched {
				return i, nil
			}
			c, mine, err := p.decode(e)
			switch {
			case !mine:
			case len(p.out.Conversations) == p.limit:
				p.full = true
				return i, nil
			case err != nil:
				p.out.Corrupt++
			default:
				p.out.Conversations = append(p.out.Conversations, c)
			}
		}
		p.at = &e.at
	}
	return len(entries), nil
}

// probe finds out, in one round trip, which entries name something that is there
// and can be read, and reads the summaries. An index is never believed: an entry
// has ended when its conversation has, by Redis's clock and whatever time to live
// it was given.
func (p *page) probe(ctx context.Context, entries []entry) error {
	s := p.store
	pipe := p.client.Pipeline()
	var ids []string
	heads := make([]head, len(entries))
	here, size, twin := make([]*goredis.IntCmd, len(entries)), make([]*goredis.IntCmd, len(entries)), make([]*goredis.IntCmd, len(entries))
	for i, e := range entries {
		k := s.keys(p.owner, e.id)
		if !e.legacy {
			ids = append(ids, e.id)
			heads[i].ask(ctx, pipe, k)
			continue
		}
		here[i] = pipe.Exists(ctx, k[keyConversation])
		switch {
		case e.id != e.at.ID: // the same id may be there as we would write it
			twin[i] = pipe.Exists(ctx, legacyKey(e.id))
			fallthrough
		default:
			size[i] = pipe.StrLen(ctx, legacyKey(e.at.ID))
		}
	}
	var sums *goredis.SliceCmd
	if len(ids) > 0 {
		sums = pipe.HMGet(ctx, s.keys(p.owner, "")[keySummaries], ids...)
	}
	if err := send(ctx, pipe); err != nil {
		return err
	}
	var texts []any
	if sums != nil {
		if err := sums.Err(); err != nil {
			return err
		}
		if texts = sums.Val(); len(texts) != len(ids) {
			return errShape
		}
	}
	for i := range entries {
		e := &entries[i]
		if !e.legacy {
			var err error
			if e.gone, e.damaged, err = heads[i].answer(p.owner); err != nil {
				return err
			}
			e.fetched = true
			e.text, _ = texts[0].(string) // none is no summary, which does not decode
			texts = texts[1:]
			continue
		}
		if err := here[i].Err(); err != nil {
			return err
		}
		if err := size[i].Err(); err != nil && !isWrongType(err) {
			return err
		}
		e.size = size[i].Val()
		e.gone = e.size == 0 || here[i].Val() > 0 // converted, and listed as that
		if twin[i] != nil {
			if err := twin[i].Err(); err != nil {
				return err
			}
			e.gone = e.gone || twin[i].Val() > 0
		}
	}
	return nil
}

// fetch reads as many legacy records as the page may need, in one round trip: as
// many as have room, and twice as many each time they turned out not to be the
// owner's.
func (p *page) fetch(ctx context.Context, entries []entry) error {
	pipe := p.client.Pipeline()
	read := make(map[*entry]*goredis.StringCmd)
	room := (p.limit + 1 - len(p.out.Conversations)) << (p.round - 1)
	for i := range entries {
		e := &entries[i]
		if e.gone {
			continue
		}
		if e.legacy {
			if p.bytes > 0 && p.bytes+e.size > maxLegacyBytes {
				p.bytes = maxLegacyBytes
				break
			}
			p.bytes += e.size
			read[e] = pipe.Get(ctx, legacyKey(e.at.ID))
		}
		if room--; room == 0 {
			break
		}
	}
	if len(read) == 0 {
		return nil
	}
	if err := send(ctx, pipe); err != nil {
		return err
	}
	for e, cmd := range read {
		text, err := cmd.Result()
		switch {
		case missing(err):
			e.gone = true // ended since
		case err != nil:
			return err
		default:
			e.text, e.fetched = text, true
		}
	}
	return nil
}

// decode reads what an entry names, and says whether it is the owner's.
func (p *page) decode(e entry) (c store.Conversation, mine bool, err error) {
	if e.damaged {
		return c, true, errCorrupt
	}
	if !e.legacy {
		c, err = wire.DecodeSummary(p.owner, e.id, e.text)
		return c, true, err
	}
	rec := legacyRecord{id: e.id, name: e.at.ID, data: []byte(e.text), indexed: true, score: e.at.Score}
	if !rec.belongsTo(p.owner) {
		return c, false, nil
	}
	c, err = rec.decode()
	c.Messages, c.Workflow = nil, store.Workflow{CurrentStep: c.Workflow.CurrentStep}
	return c, true, err
}

// send sends a pipeline of which each command is asked for its own error. It
// fails when nothing was sent, of which the commands may know nothing.
func send(ctx context.Context, p goredis.Pipeliner) error {
	cmds, err := p.Exec(ctx)
	for _, cmd := range cmds {
		if cmd.Err() != nil {
			return nil
		}
	}
	return err
}
