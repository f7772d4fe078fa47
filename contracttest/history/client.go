package history

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"parley/store"
)

// client is one of the concurrent clients.
type client struct {
	*run
	number int
	store  store.Store
	rand   *rand.Rand
	begun  int
	// reliable says that none of its requests and replies are lost.
	reliable bool
}

// overtaken completes a turn whose lease expired and whose place another turn took.
func (c *client) overtaken() {
	first, name := c.begin()
	c.place.Advance(c.tb, store.LeaseTime)
	second, other := c.begin()
	if first == nil || second == nil {
		return // the checker reports it
	}
	c.complete(first, name)
	c.complete(second, other)
	c.get()
}

func (c *client) complete(turn *store.Turn, name string) {
	answer := "answer-" + name
	c.end(opComplete, name, answer, func(ctx context.Context) error { return c.store.CompleteTurn(ctx, *turn, completion(answer)) })
}

// runTurns begins and ends turns, and reads the conversation in between.
func (c *client) runTurns() {
	for c.begun < rounds {
		c.turn()
		if c.rand.IntN(3) == 0 {
			c.get()
		}
		if c.rand.IntN(4) == 0 {
			c.follow()
		}
		if c.rand.IntN(6) == 0 {
			c.stop()
		}
	}
}

// turn begins a turn, says something of it to whoever follows it, and ends it, sometimes
// twice. With lapses, it sometimes lets the lease expire first, and sometimes begins
// another turn then.
func (c *client) turn() {
	turn, name := c.begin()
	if turn == nil {
		return
	}
	if c.lapses && c.rand.IntN(3) == 0 {
		c.place.Advance(c.tb, store.LeaseTime)
		if c.begun < rounds {
			c.turn()
		}
	}
	if c.rand.IntN(3) == 0 {
		c.stop()
	}
	for n := range c.rand.IntN(3) {
		c.publish(turn, name, n)
		if c.rand.IntN(3) == 0 {
			c.follow()
		}
	}
	if c.rand.IntN(2) == 0 {
		c.renew(turn, name)
	}
	for range 1 + c.rand.IntN(2) {
		if c.rand.IntN(4) == 0 {
			c.end(opFail, name, "", func(ctx context.Context) error { return c.store.FailTurn(ctx, *turn, "internal") })
		} else {
			c.complete(turn, name)
		}
	}
}

// begin begins a turn, without an idempotency key or with one of two.
func (c *client) begin() (*store.Turn, string) {
	c.begun++
	in := input{op: opBegin, holder: fmt.Sprintf("%d.%d", c.number, c.begun)}
	switch c.rand.IntN(4) {
	case 0:
		in.key, in.text = "k1", "keyed-1"
	case 1:
		in.key, in.text = "k2", "keyed-2"
	case 2:
		in.text = "same"
	default:
		in.text = "text-" + in.holder
	}
	if c.rand.IntN(6) == 0 {
		in.most = 1 + c.rand.IntN(8)
	}
	var turn store.Turn
	var out output
	c.lossy(in, &out, func(ctx context.Context) output {
		t, err := c.store.BeginTurn(ctx, store.Begin{
			Owner: c.owner, Conversation: c.id, Input: message(store.RoleUser, in.text), Key: in.key, Fingerprint: in.text,
			Limits: store.Limits{Turns: in.most},
		})
		var busy *store.BusyError
		switch {
		case errors.As(err, &busy):
			return output{kind: refused, turn: busy.Turn, same: busy.Same}
		case errors.Is(err, store.ErrConversationFull):
			return output{kind: full}
		case err != nil:
			return output{kind: unexpected, texts: err.Error()}
		case t.Replay != nil:
			return output{kind: replayed, turn: t.Number, texts: texts(t.Replay.Messages)}
		}
		turn = t
		return output{kind: done, turn: t.Number, adopted: t.Adopted}
	})
	if out.kind != done {
		return nil, ""
	}
	return &turn, in.holder
}

func (c *client) end(op op, holder, answer string, call func(context.Context) error) {
	var out output
	c.lossy(input{op: op, holder: holder, text: answer}, &out, func(ctx context.Context) output {
		return ended(call(ctx))
	})
}

// ended is the result of a call of a turn's holder.
func ended(err error) output {
	switch {
	case err == nil:
		return output{kind: done}
	case errors.Is(err, store.ErrStale):
		return output{kind: refused}
	default:
		return output{kind: unexpected, texts: err.Error()}
	}
}

func (c *client) get() {
	began := time.Since(c.run.began).Nanoseconds()
	conv, err := c.store.Conversation(c.tb.Context(), c.owner, c.id, store.Range{})
	out := output{kind: done, turn: conv.Turns, pending: conv.PendingTurn, texts: texts(conv.Messages)}
	if err != nil {
		out = output{kind: unexpected, texts: err.Error()}
	}
	c.add(c.number, input{op: opGet}, began, out)
}

// lossy makes a call. Sometimes it simulates a lost request, a lost reply, or a request
// that arrives after the client has given up.
func (c *client) lossy(in input, out *output, call func(context.Context) output) {
	began := time.Since(c.run.began).Nanoseconds()
	*out = output{kind: unknown}
	fate := c.rand.IntN(16)
	if c.reliable {
		fate = 16
	}
	switch fate {
	case 0: // the request is lost
	case 1: // the reply is lost
		_ = call(c.tb.Context())
	case 2: // the request is delayed
		c.late.Go(func() {
			_ = call(c.tb.Context())
			c.add(c.number, in, began, output{kind: unknown})
		})
		return
	default:
		*out = call(c.tb.Context())
	}
	c.add(c.number, in, began, *out)
}

func texts(messages []store.Message) string {
	var all []string
	for _, m := range messages {
		all = append(all, m.Text)
	}
	return strings.Join(all, "|")
}
