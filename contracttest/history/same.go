package history

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"parley/contracttest"
	"parley/store"
)

// Same makes the same random calls on two stores, one after the other, and compares
// the results and the stored data after each. Open makes an empty place of either;
// both use the clock. The flags -rapid.checks and -rapid.seed are those of
// pgregory.net/rapid, which also shrinks a failing sequence to a short one.
func Same(t *testing.T, open func(c *contracttest.Clock) (model, subject *contracttest.Place, end func())) {
	t.Helper()
	rapid.Check(t, func(rt *rapid.T) {
		clock := contracttest.NewClock()
		model, subject, end := open(clock)
		defer end()
		p := &pair{
			tb: t, rt: rt, clock: clock, model: model, subject: subject,
			owners:   []store.Owner{contracttest.NewOwner(), contracttest.NewOwner()},
			followed: map[conversation]followed{},
		}
		for range 3 {
			p.ids = append(p.ids, uuid.NewString())
		}
		steps := map[string]func(*rapid.T){
			"begin": p.begin, "start": p.start, "complete": p.complete, "fail": p.fail, "renew": p.renew,
			"status": p.status, "delete": p.remove, "wait": p.wait, "": p.compareAll,
		}
		maps.Copy(steps, p.relayed())
		rt.Repeat(steps)
	})
}

// pair is two stores that must behave alike.
type pair struct {
	tb             testing.TB
	rt             *rapid.T
	clock          *contracttest.Clock
	model, subject *contracttest.Place
	owners         []store.Owner
	ids            []string
	turns          [][2]store.Turn // begun turns, as each store returned them
	published      int             // number of entries
	followed       map[conversation]followed
}

// conversation is one that the steps are about; it need not exist.
type conversation struct {
	owner store.Owner
	id    string
}

// pick picks a conversation, most often the first: only in one that much happens to do
// turns meet.
func (p *pair) pick(t *rapid.T) conversation {
	return conversation{
		p.owners[rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "owner")],
		p.ids[rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "id")],
	}
}

// compare fails the test if the results of the two stores differ.
func (p *pair) compare(what string, a, b any, aErr, bErr error) {
	if x, y := kindOf(aErr), kindOf(bErr); x != y {
		p.rt.Fatalf("%s: one says %q, the other %q", what, x, y)
	}
	if aErr == nil && !reflect.DeepEqual(a, b) {
		p.rt.Fatalf("%s:\none   %+v\nother %+v", what, a, b)
	}
}

// kindOf reduces an error to the part that the contract specifies.
func kindOf(err error) string {
	var busy *store.BusyError
	if errors.As(err, &busy) {
		return fmt.Sprintf("busy with turn %d, same %t", busy.Turn, busy.Same)
	}
	for _, kind := range []error{store.ErrNotFound, store.ErrClosed, store.ErrMismatch, store.ErrStale, store.ErrCursor, store.ErrConversationFull, store.ErrQuota, store.ErrLost} {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	if err != nil {
		return "another error: " + err.Error()
	}
	return ""
}

func (p *pair) both(call func(s store.Store, n int) error) [2]error {
	return [2]error{call(p.model.Store, 0), call(p.subject.Store, 1)}
}

func (p *pair) start(t *rapid.T) {
	p.take(store.Begin{New: true, Fingerprint: "start", Key: rapid.SampledFrom([]string{"", "", "s"}).Draw(t, "key")}, t)
}

func (p *pair) begin(t *rapid.T) {
	text := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "text")
	b := store.Begin{Fingerprint: text, Key: rapid.SampledFrom([]string{"", "", "k", "l"}).Draw(t, "key"), Input: message(store.RoleUser, text)}
	if rapid.Bool().Draw(t, "workflow") {
		b.Workflow = store.Workflow{CurrentStep: text, StepData: []byte(`{"a":1}`)}
	}
	p.take(b, t)
}

// take begins a turn in both stores.
func (p *pair) take(b store.Begin, t *rapid.T) {
	c := p.pick(t)
	b.Owner, b.Conversation = c.owner, c.id
	b.Limits = store.Limits{
		Turns:         rapid.SampledFrom([]int{0, 0, 0, 2, 3}).Draw(t, "turns"),
		Bytes:         rapid.SampledFrom([]int{0, 0, 0, 500, 1000}).Draw(t, "bytes"),
		Conversations: rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "conversations"),
	}
	var turns [2]store.Turn
	errs := p.both(func(s store.Store, n int) (err error) {
		turns[n], err = s.BeginTurn(p.tb.Context(), b)
		return err
	})
	seen := turns
	seen[0].Token, seen[1].Token = "", ""
	p.compare("BeginTurn", seen[0], seen[1], errs[0], errs[1])
	if errs[0] == nil && turns[0].Replay == nil {
		p.turns = append(p.turns, turns)
	}
}

// held picks one of the last three turns that were begun.
func (p *pair) held(t *rapid.T) [2]store.Turn {
	if len(p.turns) == 0 {
		t.Skip("no turn was begun")
	}
	return p.turns[len(p.turns)-1-rapid.IntRange(0, min(2, len(p.turns)-1)).Draw(t, "turn")]
}

func (p *pair) complete(t *rapid.T) {
	turn := p.held(t)
	c := store.Completion{UpstreamID: "u", Ended: rapid.IntRange(0, 4).Draw(t, "ends") == 0}
	c.Extra, c.Unheard = []byte(`{"x":1}`), rapid.Bool().Draw(t, "unheard")
	for range rapid.IntRange(0, 3).Draw(t, "messages") {
		c.Messages = append(c.Messages, message(store.RoleAssistant, "answer")...)
	}
	errs := p.both(func(s store.Store, n int) error { return s.CompleteTurn(p.tb.Context(), turn[n], c) })
	p.compare("CompleteTurn", nil, nil, errs[0], errs[1])
}

func (p *pair) fail(t *rapid.T) {
	turn := p.held(t)
	class := rapid.SampledFrom([]string{"internal", "upstream_error"}).Draw(t, "class")
	errs := p.both(func(s store.Store, n int) error { return s.FailTurn(p.tb.Context(), turn[n], class) })
	p.compare("FailTurn", nil, nil, errs[0], errs[1])
}

func (p *pair) renew(t *rapid.T) {
	turn := p.held(t)
	var signals [2]store.Signals
	errs := p.both(func(s store.Store, n int) (err error) {
		signals[n], err = s.RenewLease(p.tb.Context(), turn[n])
		return err
	})
	p.compare("RenewLease", signals[0], signals[1], errs[0], errs[1])
}

func (p *pair) status(t *rapid.T) {
	at := p.pick(t)
	status := rapid.SampledFrom([]store.Status{store.StatusActive, store.StatusCompleted}).Draw(t, "status")
	var c [2]store.Conversation
	errs := p.both(func(s store.Store, n int) (err error) {
		c[n], err = s.SetStatus(p.tb.Context(), at.owner, at.id, status)
		return err
	})
	p.compare("SetStatus", c[0], c[1], errs[0], errs[1])
}

func (p *pair) remove(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "really") > 0 {
		t.Skip("else nothing would grow")
	}
	at := p.pick(t)
	errs := p.both(func(s store.Store, _ int) error { return s.Delete(p.tb.Context(), at.owner, at.id) })
	p.compare("Delete", nil, nil, errs[0], errs[1])
}

// wait advances the clock by half a lease, a lease, the time for which a repeat joins
// and is heard, or two thirds of the time to live. No step ends within seconds of an
// expiry, because one of the two clocks may be real.
func (p *pair) wait(t *rapid.T) {
	d := rapid.SampledFrom([]time.Duration{store.LeaseTime / 2, store.LeaseTime, store.JoinTime, 2 * p.model.TTL / 3}).Draw(t, "time")
	p.model.Advance(p.tb, d)
	p.subject.Advance(p.tb, d)
	p.clock.Advance(d)
}

// compareAll reads everything from both stores.
func (p *pair) compareAll(t *rapid.T) {
	r := store.Range{
		From: rapid.IntRange(0, 3).Draw(t, "from"), Before: rapid.IntRange(0, 3).Draw(t, "before"),
		Limit: rapid.SampledFrom([]int{0, 1, 3}).Draw(t, "limit"),
	}
	for _, o := range p.owners {
		for _, id := range p.ids {
			var c [2]store.Conversation
			errs := p.both(func(s store.Store, n int) (err error) {
				c[n], err = s.Conversation(p.tb.Context(), o, id, r)
				return err
			})
			p.compare("Conversation", c[0], c[1], errs[0], errs[1])
		}
		a, aErr := pages(p.tb.Context(), p.model.Store, o)
		b, bErr := pages(p.tb.Context(), p.subject.Store, o)
		p.compare("List", a, b, aErr, bErr)
	}
}

// pages lists by pages of two.
func pages(ctx context.Context, s store.Store, o store.Owner) (string, error) {
	var all []string
	for cursor := ""; ; {
		l, err := s.List(ctx, o, store.Page{Limit: 2, Cursor: cursor})
		if err != nil {
			return "", err
		}
		for _, c := range l.Conversations {
			all = append(all, fmt.Sprintf("%s %s %d %v", c.ID, c.Status, c.Turns, c.UpdatedAt))
		}
		if cursor = l.NextCursor; cursor == "" {
			return strings.Join(all, "; "), nil
		}
	}
}
