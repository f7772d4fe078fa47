// Package history checks sequences of calls, which single rules cannot cover.
// Linearizable runs concurrent clients, some of whose requests and replies are lost,
// and checks that the history is linearizable. Same runs random calls of one client
// against two stores and checks that both return the same results.
package history

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/google/uuid"

	"parley/contracttest"
	"parley/store"
)

// Bounds of one history. A checker's time grows steeply with them.
const (
	clients   = 4
	rounds    = 5
	checkTime = 20 * time.Second
)

// Linearizable runs concurrent clients on one conversation of the place. The seed
// decides what they do. It returns "" if the history is linearizable: the results are
// those of some sequential order in which each call takes effect between its start
// and its end. A call whose request or reply was lost may take effect at any later
// time, or never. With lapses, the clock is sometimes advanced until leases expire.
func Linearizable(tb testing.TB, p *contracttest.Place, seed uint64, lapses bool) string {
	tb.Helper()
	r := &run{tb: tb, place: p, lapses: lapses, owner: contracttest.NewOwner(), id: uuid.NewString(), began: time.Now()}
	r.start()
	handles := []store.Store{p.Store, p.Reopen(tb)}
	if lapses {
		// The concurrent clients may or may not run into an expired lease, so one
		// client does so first.
		c := &client{run: r, number: clients, store: handles[0], rand: rand.New(rand.NewPCG(seed, clients)), reliable: true}
		c.overtaken()
	}
	var running sync.WaitGroup
	for n := range clients {
		c := &client{run: r, number: n, store: handles[n%len(handles)], rand: rand.New(rand.NewPCG(seed, uint64(n)))}
		running.Go(c.runTurns)
	}
	running.Wait()
	r.late.Wait()
	last := &client{run: r, store: p.Store}
	last.get()
	switch porcupine.CheckOperationsTimeout(modelOf(lapses), r.calls, checkTime) {
	case porcupine.Ok:
		return ""
	case porcupine.Unknown:
		return fmt.Sprintf("seed %d: not decided within %v", seed, checkTime)
	default:
		return fmt.Sprintf("seed %d: no order explains\n%s", seed, r.describe())
	}
}

// run is one history of concurrent calls.
type run struct {
	tb     testing.TB
	place  *contracttest.Place
	lapses bool
	owner  store.Owner
	id     string
	began  time.Time
	late   sync.WaitGroup // calls whose client no longer waits

	mu    sync.Mutex
	calls []porcupine.Operation
}

const greeting = "hello"

func (r *run) start() {
	turn, err := r.place.Store.BeginTurn(r.tb.Context(), store.Begin{Owner: r.owner, Conversation: r.id, New: true, Fingerprint: "start"})
	if err == nil {
		err = r.place.Store.CompleteTurn(r.tb.Context(), turn, completion(greeting))
	}
	if err != nil {
		r.tb.Fatalf("start: %v", err)
	}
}

func completion(text string) store.Completion {
	return store.Completion{UpstreamID: "u", Outcome: store.Outcome{Messages: message(store.RoleAssistant, text)}}
}

func message(role store.Role, text string) []store.Message {
	return []store.Message{{ID: uuid.NewString(), Role: role, Kind: store.KindText, Text: text}}
}

// never is the end of a call whose result is unknown.
const never = int64(1) << 62

// add records a call.
func (r *run) add(client int, in input, began int64, out output) {
	ended := time.Since(r.began).Nanoseconds()
	if out.kind == unknown {
		ended = never
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, porcupine.Operation{ClientId: client, Input: in, Call: began, Output: out, Return: ended})
}

// describe lists the calls of the history.
func (r *run) describe() string {
	var b strings.Builder
	for _, c := range r.calls {
		fmt.Fprintf(&b, "%10d %12d client %d: %+v -> %+v\n", c.Call, c.Return, c.ClientId, c.Input, c.Output)
	}
	return b.String()
}

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
	}
}

// turn begins a turn and ends it, sometimes twice. With lapses, it sometimes lets the
// lease expire first, and sometimes begins another turn then.
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
	var turn store.Turn
	var out output
	c.lossy(in, &out, func(ctx context.Context) output {
		t, err := c.store.BeginTurn(ctx, store.Begin{
			Owner: c.owner, Conversation: c.id, Input: message(store.RoleUser, in.text), Key: in.key, Fingerprint: in.text,
		})
		var busy *store.BusyError
		switch {
		case errors.As(err, &busy):
			return output{kind: refused, turn: busy.Turn}
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
		switch err := call(ctx); {
		case err == nil:
			return output{kind: done}
		case errors.Is(err, store.ErrStale):
			return output{kind: refused}
		default:
			return output{kind: unexpected, texts: err.Error()}
		}
	})
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
		c.late.Go(func() { _ = call(c.tb.Context()) })
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
