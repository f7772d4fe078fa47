package redis

import (
	"context"
	"math"
	"slices"
	"strconv"

	"parley/store/internal/wire"
)

// window reads up to n entries of both indexes from the last that was taken on, in the
// order of a list, and says whether there may be more.
func (p *page) window(ctx context.Context, n int) (entries []entry, more bool, err error) {
	sources := []*source{{key: p.tag + keyNames()[keyIndex], high: math.Inf(1)}}
	if p.store.readsLegacy {
		sources = append(sources, &source{key: legacyIndexKey(p.owner), high: wire.MaxLegacyScore, legacy: true})
	}
	for pending := slices.Clone(sources); len(pending) > 0; {
		b := newBatch(len(pending), len(pending)*rangeArgs)
		for _, src := range pending {
			src.ask(b, p.at, n)
		}
		if err := b.send(ctx, p.client); err != nil {
			return nil, false, err
		}
		for _, src := range pending {
			if err := src.answer(b, p.at, n); err != nil {
				return nil, false, err
			}
		}
		pending = slices.DeleteFunc(pending, func(src *source) bool { return src.ended || len(src.entries) >= n })
	}
	for _, src := range sources {
		if len(entries) == 0 {
			entries = src.entries // nearly always those of one source alone
		} else {
			entries = append(entries, src.entries...)
		}
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

	asked   int64 // how many it was asked for last
	offset  int64 // how many it gave
	entries []entry
	ended   bool // it has no more
}

// rangeArgs is how many arguments ask has.
const rangeArgs = 8

// ask asks for n entries. Those with the cursor's own score that were shown before are
// read again, so more are asked for each time they used up the number.
func (src *source) ask(b *batch, after *wire.Cursor, n int) {
	top, count := src.high, int64(n)
	if after != nil {
		top, count = min(top, after.Score), count+1 // the cursor's own entry comes again
	}
	src.asked = max(count, 2*src.asked)
	b.add("zrevrangebyscore", &src.key, strconv.FormatFloat(top, 'f', -1, 64), "0", "withscores", "limit", src.offset, src.asked)
}

// answer takes what came. A legacy name may be that of somebody else's key, of
// another type: then there is nothing legacy.
func (src *source) answer(b *batch, after *wire.Cursor, n int) error {
	reply, err := b.next()
	switch {
	case src.legacy && isWrongType(err):
		src.ended = true
		return nil
	case err != nil:
		return err
	}
	// RESP 2 has members and scores in a row, and 3 a list of each two.
	read, err := reply.list()
	if err != nil {
		return err
	}
	inPairs := reply.isList()
	if !inPairs {
		read /= 2
	}
	from := len(src.entries)
	var members joined
	members.grow(read, len(reply.rest))
	src.entries = slices.Grow(src.entries, read)
	for range read {
		if inPairs {
			if n, err := reply.list(); err != nil || n != 2 {
				return errShape
			}
		}
		member, text, err := reply.pair()
		if err != nil {
			return err
		}
		score, err := strconv.ParseFloat(string(text), 64)
		if err != nil || math.IsNaN(score) {
			return errShape
		}
		members.text.Write(member)
		members.end()
		src.entries = append(src.entries, entry{at: wire.Cursor{Score: score}, legacy: src.legacy})
	}
	kept := src.entries[:from]
	for i, member := range members.all() {
		e := src.entries[from+i]
		e.at.ID, e.id = member, member
		if src.legacy {
			e.id = canonicalID(member)
		}
		if after == nil || after.Compare(e.at) < 0 {
			kept = append(kept, e)
		}
	}
	src.entries = kept
	src.offset += int64(read)
	src.ended = int64(read) < src.asked
	if len(src.entries) > n {
		src.entries, src.ended = src.entries[:n], false
	}
	return nil
}
