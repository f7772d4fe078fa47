package history

import (
	"encoding/json"
	"slices"
	"strconv"

	"pgregory.net/rapid"

	"parley/store"
)

// followed is where the follower of a turn has come to.
type followed struct {
	fence int64
	next  int
}

// relayed are the steps about turns that others follow and stop.
func (p *pair) relayed() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){"publish": p.publish, "follow": p.follow, "stop": p.stop, "parts": p.parts}
}

// watched picks a conversation, most often that of a turn that was begun lately: this is
// the one that there is something to follow or stop of.
func (p *pair) watched(t *rapid.T) conversation {
	if len(p.turns) == 0 || rapid.IntRange(0, 3).Draw(t, "any") == 0 {
		return p.pick(t)
	}
	turn := p.held(t)[0]
	return conversation{turn.Owner, turn.Conversation}
}

func (p *pair) publish(t *rapid.T) {
	turn := p.held(t)
	type result struct {
		kept    bool
		signals store.Signals
	}
	for range rapid.IntRange(1, 3).Draw(t, "entries") {
		p.published++
		e := store.Entry{Data: json.RawMessage(strconv.Itoa(p.published)), Snapshot: rapid.Bool().Draw(t, "snapshot")}
		var r [2]result
		errs := p.both(func(s store.Store, n int) (err error) {
			r[n].kept, r[n].signals, err = s.Publish(p.tb.Context(), turn[n], e)
			return err
		})
		p.compare("Publish", r[0], r[1], errs[0], errs[1])
	}
}

// follow follows from the start or goes on where it was. How the end of a turn counts in
// Next is the store's own affair, so nobody goes on behind it.
func (p *pair) follow(t *rapid.T) {
	f := p.watched(t)
	at := followed{}
	if rapid.Bool().Draw(t, "goes on") {
		at = p.followed[f]
	}
	starting := rapid.Bool().Draw(t, "starting")
	var r [2]store.Relayed
	errs := p.both(func(s store.Store, n int) (err error) {
		r[n], err = s.Follow(p.tb.Context(), store.Follow{Owner: f.owner, Conversation: f.id, New: starting, From: at.next})
		if r[n].Fence != at.fence && at.next > 0 && err == nil { // another turn: from its start
			r[n], err = s.Follow(p.tb.Context(), store.Follow{Owner: f.owner, Conversation: f.id, New: starting})
		}
		return err
	})
	delete(p.followed, f)
	if r[0].State == store.TurnCompleted {
		r[0].Next, r[1].Next = 0, 0
	} else if errs[0] == nil {
		p.followed[f] = followed{r[0].Fence, r[0].Next}
	}
	p.compare("Follow", r[0], r[1], errs[0], errs[1])
}

func (p *pair) stop(t *rapid.T) {
	c := p.watched(t)
	type result struct {
		turn    int
		running bool
	}
	var r [2]result
	errs := p.both(func(s store.Store, n int) (err error) {
		r[n].turn, r[n].running, err = s.Stop(p.tb.Context(), c.owner, c.id)
		return err
	})
	p.compare("Stop", r[0], r[1], errs[0], errs[1])
}

// parts reads a conversation part by part, to its end and to its beginning: the parts
// make up the whole.
func (p *pair) parts(t *rapid.T) {
	c, limit := p.pick(t), rapid.IntRange(1, 4).Draw(t, "limit")
	for n, s := range []store.Store{p.model.Store, p.subject.Store} {
		read := func(r store.Range) store.Conversation {
			got, err := s.Conversation(p.tb.Context(), c.owner, c.id, r)
			if err != nil {
				p.rt.Fatalf("store %d: a part: %v", n, err)
			}
			return got
		}
		whole, err := s.Conversation(p.tb.Context(), c.owner, c.id, store.Range{})
		if err != nil {
			t.Skip("no such conversation")
		}
		if whole.Earlier || whole.Later {
			p.rt.Fatalf("store %d: %d messages are not the whole", n, len(whole.Messages))
		}
		last := read(store.Range{Limit: limit})
		back := last.Messages
		for last.Earlier {
			last = read(store.Range{Before: last.Messages[0].Turn, Limit: limit})
			back = slices.Concat(last.Messages, back)
		}
		p.compare("parts from the end", whole.Messages, back, nil, nil)
		next := read(store.Range{Before: 1, Limit: limit}) // the greeting
		forth := next.Messages
		for from := 1; next.Later; {
			next = read(store.Range{From: from, Limit: limit})
			if len(next.Messages) == 0 {
				p.rt.Fatalf("store %d: there is more behind turn %d, and it does not come", n, from)
			}
			forth = slices.Concat(forth, next.Messages)
			from = next.Messages[len(next.Messages)-1].Turn + 1
		}
		p.compare("parts from the start", whole.Messages, forth, nil, nil)
	}
}
