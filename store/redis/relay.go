package redis

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"

	"parley/store"
	"parley/store/internal/wire"
)

// relayed adds the relay to a spot's keys: the list of what a turn publishes for
// readers on other instances.
func (at spot) relayed() spot {
	at.keys = append(at.keys, at.relay)
	return at
}

// Publish implements store.Store. An entry that is published twice, because an
// answer was lost, does no harm: entries say what they continue.
func (s *Store) Publish(ctx context.Context, t store.Turn, e store.Entry) (kept bool, sig store.Signals, err error) {
	r, err := s.write(ctx, "Publish", s.scripts.publish, t, s.time(), t.Token, yesNo(e.Snapshot), string(e.Data))
	if err != nil {
		return false, sig, err
	}
	f, err := r.rest(3)
	if err != nil {
		return false, sig, &store.Error{Op: "Publish", Kind: store.ErrProtocol, Cause: err}
	}
	return f[0] == "1", signals(f[1:]), nil
}

// signals reads what a script says others want of a turn.
func signals(f []string) store.Signals {
	return store.Signals{Listened: f[0] == "1", Stop: f[1] == "1"}
}

// Follow implements store.Store.
func (s *Store) Follow(ctx context.Context, f store.Follow) (out store.Relayed, err error) {
	at := s.at(f.Owner, f.Conversation).relayed()
	err = s.do(ctx, f.Owner, "Follow", func(ctx context.Context, c *client) error {
		r, err := s.eval(ctx, c, s.scripts.follow, at, s.time(), yesNo(f.New), f.From)
		if err == nil {
			err = outcome(r)
		}
		if errors.Is(err, store.ErrNotFound) {
			var turns int
			if turns, err = s.legacyTurns(ctx, c, f.Owner, f.Conversation); err == nil {
				out = store.Relayed{Turn: turns, State: store.TurnCompleted}
			}
			return err
		}
		if err != nil {
			return err
		}
		out, err = decodeRelayed(r)
		return err
	})
	return out, err
}

// legacyTurns looks for a legacy record of a conversation: no turn of ours runs there.
func (s *Store) legacyTurns(ctx context.Context, c *client, o store.Owner, id string) (int, error) {
	if !s.readsLegacy {
		return 0, store.ErrNotFound
	}
	kept, found, err := s.legacy(ctx, c, o, id)
	if err == nil && !found {
		err = store.ErrNotFound
	}
	return kept.Turns, err
}

// decodeRelayed reads the answer of the script follow: number, fence, state, held,
// class, next, entries.
func decodeRelayed(r reply) (store.Relayed, error) {
	f, err := r.rest(6)
	if err != nil {
		return store.Relayed{}, err
	}
	turn, terr := strconv.Atoi(f[0])
	fence, ferr := strconv.ParseInt(f[1], 10, 64)
	next, nerr := strconv.Atoi(f[5])
	if err := errors.Join(terr, ferr, nerr); err != nil {
		return store.Relayed{}, errShape
	}
	out := store.Relayed{Turn: turn, Fence: fence, State: wire.TurnState(f[2]), Held: f[3] == "1", Class: f[4], Next: next}
	for _, e := range f[6:] {
		switch {
		case len(e) > 1 && e[0] == 'D':
			out.Entries = append(out.Entries, json.RawMessage(e[1:]))
		case len(e) > 0 && e[0] == 'E':
			out.Extra = rawJSON(e[1:])
		default:
			return store.Relayed{}, errShape
		}
	}
	return out, nil
}

// Stop implements store.Store.
func (s *Store) Stop(ctx context.Context, o store.Owner, id string) (turn int, running bool, err error) {
	err = s.do(ctx, o, "Stop", func(ctx context.Context, c *client) error {
		r, err := s.eval(ctx, c, s.scripts.stop, s.at(o, id))
		if err == nil {
			err = outcome(r)
		}
		if errors.Is(err, store.ErrNotFound) {
			turn, err = s.legacyTurns(ctx, c, o, id)
			return err
		}
		if err != nil {
			return err
		}
		f, err := r.rest(2)
		if err != nil {
			return err
		}
		if turn, err = strconv.Atoi(f[0]); err != nil {
			return errShape
		}
		running = f[1] == "1"
		return nil
	})
	return turn, running, err
}
