package history

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"parley/store"
)

// What concurrent clients want of each other's turns: they follow and stop the one that
// runs, and its holder publishes and learns of it.

func (c *client) publish(turn *store.Turn, holder string, n int) {
	in := input{op: opPublish, holder: holder, text: fmt.Sprintf(`"%s-%d"`, holder, n), snapshot: c.rand.IntN(2) == 0}
	var out output
	c.lossy(in, &out, func(ctx context.Context) output {
		kept, s, err := c.store.Publish(ctx, *turn, store.Entry{Data: json.RawMessage(in.text), Snapshot: in.snapshot})
		o := ended(err)
		o.kept, o.signals = kept, s
		return o
	})
}

func (c *client) renew(turn *store.Turn, holder string) {
	var out output
	c.lossy(input{op: opRenew, holder: holder}, &out, func(ctx context.Context) output {
		s, err := c.store.RenewLease(ctx, *turn)
		o := ended(err)
		o.signals = s
		return o
	})
}

func (c *client) follow() {
	var out output
	c.lossy(input{op: opFollow}, &out, func(ctx context.Context) output {
		r, err := c.store.Follow(ctx, store.Follow{Owner: c.owner, Conversation: c.id})
		o := ended(err)
		if err == nil {
			o.turn, o.state, o.texts = r.Turn, r.State, joined(r.Entries)
		}
		return o
	})
}

func (c *client) stop() {
	var out output
	c.lossy(input{op: opStop}, &out, func(ctx context.Context) output {
		turn, running, err := c.store.Stop(ctx, c.owner, c.id)
		o := ended(err)
		o.turn, o.running = turn, running
		return o
	})
}

func joined(entries []json.RawMessage) string {
	var all []string
	for _, e := range entries {
		all = append(all, string(e))
	}
	return strings.Join(all, "|")
}

// signals are what the holder of the running turn is told. Expired says that nobody has
// followed it for store.InterestTime.
func (s state) signals(expired bool) store.Signals {
	return store.Signals{Listened: s.followed && !expired, Stop: s.stopped}
}

// publish adds an entry to what the running turn has published.
func (s state) publish(in input, expired bool) (state, output) {
	if s.holder != in.holder || s.phase != running {
		return s, output{kind: refused}
	}
	out := output{kind: done, signals: s.signals(expired)}
	switch {
	case in.snapshot:
		s.relayed, out.kept = in.text, true
	case s.relayed != "":
		s.relayed, out.kept = s.relayed+"|"+in.text, true
	}
	return s, out
}

// follow tells what the last turn has published, and its holder that it is followed.
func (s state) follow() (state, output) {
	out := output{kind: done, turn: s.turn, texts: s.relayed}
	switch s.phase {
	case running:
		out.state, s.followed = store.TurnRunning, true
	case failed:
		out.state = store.TurnFailed
	default:
		out.state = store.TurnCompleted
	}
	return s, out
}

// stop asks for the end of the running turn. Lapsed says that its lease has expired.
func (s state) stop(lapsed bool) (state, output) {
	out := output{kind: done, turn: s.turn, running: s.phase == running && !lapsed}
	s.stopped = s.stopped || out.running
	return s, out
}
