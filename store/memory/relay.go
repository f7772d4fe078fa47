package memory

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"parley/store"
	"parley/store/internal/wire"
)

// relay is what a turn has published for readers elsewhere.
type relay struct {
	token   string // of the turn
	first   int    // position of the first entry
	entries []string
	extra   string // of the completion
	until   time.Time
}

// relayOf is the relay of the conversation's last turn; an empty one if that has not
// published, or long ago.
func (c *conversation) relayOf(now time.Time) *relay {
	if token := c.fields[wire.FieldToken]; c.relay.token != token || !now.Before(c.relay.until) {
		c.relay = relay{}
	}
	return &c.relay
}

func (c *conversation) signals(now time.Time) store.Signals {
	stop := c.fields[wire.FieldStop]
	return store.Signals{
		Listened: int64(c.int(wire.FieldListen)) > now.UnixMilli(),
		Stop:     stop != "" && stop == c.fields[wire.FieldToken],
	}
}

// holds reports whether t is the turn that runs, and why not.
func (c *conversation) holds(t store.Turn) error {
	state := c.fields[wire.FieldState]
	if c.fields[wire.FieldToken] != t.Token || state != wire.StateRunning && state != wire.StateStarting {
		return store.ErrStale
	}
	return nil
}

// held reports whether a turn runs whose lease has not lapsed.
func (c *conversation) held(now time.Time) bool {
	return wire.TurnState(c.fields[wire.FieldState]) == store.TurnRunning && now.Before(c.lease.until)
}

// Publish implements store.Store.
func (s *Store) Publish(ctx context.Context, t store.Turn, e store.Entry) (kept bool, _ store.Signals, err error) {
	if err := alive(ctx, "Publish"); err != nil {
		return false, store.Signals{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	c, err := s.ofTurn("Publish", t, now)
	if err == nil {
		err = c.holds(t)
	}
	if err != nil {
		return false, store.Signals{}, err
	}
	r := c.relayOf(now)
	if kept = e.Snapshot || r.token != ""; kept {
		if e.Snapshot {
			r.first, r.entries = r.first+len(r.entries), nil
		}
		r.token, r.until = t.Token, now.Add(store.RelayTime)
		r.entries = append(r.entries, string(e.Data))
	}
	return kept, c.signals(now), nil
}

// Follow implements store.Store.
func (s *Store) Follow(ctx context.Context, f store.Follow) (store.Relayed, error) {
	if err := alive(ctx, "Follow"); err != nil {
		return store.Relayed{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	c, err := s.judged("Follow", f.Owner, f.Conversation, now)
	if err == nil && (c == nil || c.fields[wire.FieldState] == wire.StateStarting && !f.New) {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Relayed{}, err
	}
	out := store.Relayed{
		Turn: c.int(wire.FieldTurns), Fence: int64(c.int(wire.FieldFence)),
		State: wire.TurnState(c.fields[wire.FieldState]), Held: c.held(now),
	}
	r := c.relayOf(now)
	switch out.State {
	case store.TurnRunning:
		c.fields[wire.FieldListen] = strconv.FormatInt(now.Add(store.InterestTime).UnixMilli(), 10)
		r.until = now.Add(store.RelayTime)
	case store.TurnCompleted:
	case store.TurnFailed:
		out.Class = c.fields[wire.FieldFailPrefix+c.fields[wire.FieldTurns]]
	}
	for _, e := range r.entries[min(max(f.From-r.first, 0), len(r.entries)):] {
		out.Entries = append(out.Entries, json.RawMessage(e))
	}
	out.Next, out.Extra = r.first+len(r.entries), extra(r.extra)
	return out, nil
}

// Stop implements store.Store.
func (s *Store) Stop(ctx context.Context, o store.Owner, id string) (turn int, running bool, err error) {
	if err := alive(ctx, "Stop"); err != nil {
		return 0, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.visible("Stop", o, id)
	if err != nil {
		return 0, false, err
	}
	if running = c.held(s.now()); running {
		c.fields[wire.FieldStop] = c.fields[wire.FieldToken]
	}
	return c.int(wire.FieldTurns), running, nil
}
