package redis

import (
	"context"

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
	p := &page{store: s, client: c, owner: o, limit: limit, at: after, tag: s.tag(o)}
	for round, n := 1, limit+1; ; round, n = round+1, min(max(2*n, store.MaxPage), maxWindow) {
		p.round = round
		entries, more, err := p.window(ctx, n)
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
	text    []byte // summary or legacy record; empty for none
	fetched bool   // text was read
}

// page is one page that is being filled.
type page struct {
	store  *Store
	client *client
	owner  store.Owner
	limit  int
	tag    string // what the owner's keys begin with

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
	if p.out.Conversations == nil {
		p.out.Conversations = make([]store.Conversation, 0, min(p.limit, len(entries)))
	}
	for i := range entries {
		e := &entries[i]
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
	own := make([]*entry, 0, len(entries))
	ids := make([]string, 0, len(entries))
	for i := range entries {
		if e := &entries[i]; !e.legacy {
			own, ids = append(own, e), append(ids, e.id)
		}
	}
	b := newBatch(headCommands*len(entries)+1, headArgs*len(entries)+2+len(ids))
	keys := p.headKeys(own)
	for i := range own {
		b.head(keys[headCommands*i:])
	}
	for i := range entries {
		if e := &entries[i]; e.legacy {
			b.askLegacy(e, p.tag+keyNames()[keyConversation]+e.id)
		}
	}
	summaries := p.tag + keyNames()[keySummaries]
	if len(ids) > 0 {
		b.addAll("hmget", &summaries, ids)
	}
	if err := b.send(ctx, p.client); err != nil {
		return err
	}
	for _, e := range own {
		var err error
		if e.gone, e.damaged, err = b.judgeHead(p.owner); err != nil {
			return err
		}
		e.fetched = true
	}
	for i := range entries {
		if e := &entries[i]; e.legacy {
			if err := e.hearLegacy(b); err != nil {
				return err
			}
		}
	}
	if len(ids) == 0 {
		return nil
	}
	found, err := b.next()
	if err != nil {
		return err
	}
	return found.strings(len(own), func(i int, text []byte) { own[i].text = text }) // none is no summary, which does not decode
}

// headKeys are the keys that the heads of entries are read at, of each as many as it has
// commands.
func (p *page) headKeys(own []*entry) []string {
	names := keyNames()
	var keys joined
	keys.grow(headCommands*len(own), headCommands*len(own)*(len(p.tag)+len("c:")+36))
	for _, e := range own {
		for _, n := range [headCommands]int{keyConversation, keyMessages, keyRecords} {
			keys.text.WriteString(p.tag)
			keys.text.WriteString(names[n])
			keys.text.WriteString(e.id)
			keys.end()
		}
	}
	return keys.all()
}

// askLegacy asks whether a legacy entry was converted since, which is listed as such,
// whether its id is there as we would write it, and how large it is.
func (b *batch) askLegacy(e *entry, converted string) {
	twin, name := legacyKey(e.id), legacyKey(e.at.ID)
	if twin == name {
		b.add("exists", &converted)
	} else {
		b.add("exists", &converted, &twin)
	}
	b.add("strlen", &name)
}

func (e *entry) hearLegacy(b *batch) error {
	others, err := b.number()
	if err != nil {
		return err
	}
	size, err := b.number()
	if err != nil && !isWrongType(err) {
		return err
	}
	e.size = int64(size)
	e.gone = size == 0 || others > 0
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
			e.text, e.fetched = []byte(text), true
		}
	}
	return nil
}

// decode reads what an entry names, and says whether it is the owner's.
func (p *page) decode(e *entry) (c store.Conversation, mine bool, err error) {
	if e.damaged {
		return c, true, errCorrupt
	}
	if !e.legacy {
		c, err = wire.DecodeSummary(p.owner, e.id, e.text)
		return c, true, err
	}
	rec := legacyRecord{id: e.id, name: e.at.ID, data: e.text, indexed: true, score: e.at.Score}
	if !rec.belongsTo(p.owner) {
		return c, false, nil
	}
	c, err = rec.decode()
	c.Messages, c.Workflow = nil, store.Workflow{CurrentStep: c.Workflow.CurrentStep}
	return c, true, err
}

func isWrongType(err error) bool { return err != nil && goredis.HasErrorPrefix(err, "WRONGTYPE") }

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
