package memory

import (
	"time"

	"parley/store"
	"parley/store/internal/wire"
)

// insert adds a conversation.
func (s *Store) insert(c *conversation) {
	s.convs[c.key] = s.idle.PushFront(c)
	s.owners[c.owner]++
}

func (s *Store) remove(c *conversation) {
	s.idle.Remove(s.convs[c.key])
	delete(s.convs, c.key)
	s.started(c)
	s.bytes -= c.bytes
	if s.owners[c.owner]--; s.owners[c.owner] == 0 {
		delete(s.owners, c.owner)
	}
	if ix := s.index[c.owner]; ix != nil {
		ix.remove(c.id)
		if len(ix.entries) == 0 {
			delete(s.index, c.owner)
		}
	}
}

// overhead is what a conversation takes beside its texts, about: maps, and places in
// lists.
const overhead = 2 << 10

// weigh counts what a conversation takes.
func (s *Store) weigh(c *conversation) {
	s.bytes -= c.bytes
	c.bytes = overhead + wire.Size(c.fields) + len(c.fields[wire.FieldStepData]) + len(c.fields[wire.FieldUnheard])
	s.bytes += c.bytes
}

// evict keeps to the bounds after c was written. What has expired goes first. Then
// the owner of c makes room: of all that is idle, what that owner wrote to longest
// ago; so nobody's conversations are pushed out by somebody else's. Only an owner
// who has nothing else takes from others, and from the one who has most. A
// conversation that is being answered is not idle, and stays, and so does c.
func (s *Store) evict(c *conversation, now time.Time) {
	for e := s.idle.Back(); e != nil; {
		oldest, _ := e.Value.(*conversation)
		e = e.Prev()
		if now.Before(oldest.expires) {
			break
		}
		if oldest != c && !now.Before(oldest.lease.until) {
			s.remove(oldest)
		}
	}
	for len(s.convs) > s.max || s.bytes > s.maxBytes {
		victim := s.longestIdle(c.owner, c, now)
		if victim == nil {
			victim = s.longestIdle(s.richest(c.owner), c, now)
		}
		if victim == nil {
			victim = s.longestIdle("", c, now)
		}
		if victim == nil {
			return
		}
		s.remove(victim)
	}
}

// longestIdle finds the idle conversation of an owner, "" for any, that was written
// to longest ago; nil if there is none but keep.
func (s *Store) longestIdle(owner string, keep *conversation, now time.Time) *conversation {
	if owner != "" && s.owners[owner] == 0 {
		return nil
	}
	for e := s.idle.Back(); e != nil; e = e.Prev() {
		c, _ := e.Value.(*conversation)
		if c != keep && (owner == "" || c.owner == owner) && !now.Before(c.lease.until) {
			return c
		}
	}
	return nil
}

// richest is the owner with the most conversations, but for one.
func (s *Store) richest(but string) (owner string) {
	most := 0
	for o, n := range s.owners {
		if o != but && n > most {
			owner, most = o, n
		}
	}
	return owner
}

// starting notes that a conversation is being started, and started that it is no more.
func (s *Store) starting(c *conversation) {
	if s.starts[c.owner] == nil {
		s.starts[c.owner] = map[string]*conversation{}
	}
	s.starts[c.owner][c.id] = c
}

func (s *Store) started(c *conversation) {
	delete(s.starts[c.owner], c.id)
	if len(s.starts[c.owner]) == 0 {
		delete(s.starts, c.owner)
	}
}

// owned counts the conversations of an owner: those that have not expired, and of
// those that are being started such as are held.
func (s *Store) owned(owner string, now time.Time) int {
	n := 0
	for _, c := range s.starts[owner] {
		if now.Before(c.lease.until) {
			n++
		}
	}
	ix := s.index[owner]
	if ix == nil {
		return n
	}
	for _, e := range ix.entries {
		if c := s.peek(key{owner, e.id}); c != nil && now.Before(c.expires) {
			n++
		}
	}
	return n
}

// quota reports whether an owner has as many conversations as there may be.
func (s *Store) quota(owner string, l store.Limits, now time.Time) bool {
	return l.Conversations > 0 && s.owned(owner, now) >= l.Conversations
}
