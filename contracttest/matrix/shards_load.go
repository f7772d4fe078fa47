package matrix

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/store"
)

// The load of one row: instances talk for some owners of each shard.
const (
	instances = 2
	perShard  = 2 // talkers of each shard, in each instance
	pace      = 50 * time.Millisecond
	lookEvery = 5 // turns between two looks at what there is

	completing = "CompleteTurn"
)

// load are talkers, and what became of their calls.
type load struct {
	tb      testing.TB
	class   func(error) string
	shards  int
	stale   bool // that acknowledged turns are not found is told, and not judged
	async   bool // a replica takes over that may not have what was not acknowledged
	talkers []*talker

	mu    sync.Mutex
	calls []call
	sent  map[string]int // how many calls carried a text
	wrong []string
}

// call is one call of a store.
type call struct {
	shard int
	op    string
	began time.Time
	took  time.Duration
	class string // "" for what was expected
}

func (c call) ended() time.Time { return c.began.Add(c.took) }

// failed says that the store, and not the state of a conversation, is why.
func (c call) failed() bool { return strings.HasPrefix(c.class, "store_") || c.class == "internal" }

// talker is an owner with one conversation, in which one turn follows the other.
type talker struct {
	load   *load
	number int
	store  store.Store
	owner  store.Owner
	id     string
	key    string // Redis's, of the conversation
	shard  int
	next   int   // number of the turn that is tried, from 1 on
	acked  []ack // those that were acknowledged
	turn   int   // the last of those, as the store numbers it
}

// ack is an acknowledged turn.
type ack struct {
	turn int // as the talker numbers it
	at   time.Time
}

// newLoad makes talkers of each shard, through a store of no instance. find gives the
// shard of a conversation and its key.
func newLoad(tb testing.TB, class func(error) string, s store.Store, shards int, find func(id string) (shard int, key string)) *load {
	tb.Helper()
	l := &load{tb: tb, class: class, shards: shards, sent: map[string]int{}}
	have := make([]int, shards)
	for slices.Min(have) < instances*perShard {
		t := &talker{load: l, number: len(l.talkers), store: s, owner: store.Owner{Tenant: "t", User: uuid.NewString()}, next: 1}
		err := again(tb.Context(), func(ctx context.Context) error {
			t.id = uuid.NewString()
			return t.start(ctx)
		})
		if err != nil {
			tb.Fatalf("start a conversation: %v", err)
		}
		if t.shard, t.key = find(t.id); have[t.shard] < instances*perShard {
			have[t.shard]++
			l.talkers = append(l.talkers, t)
		}
	}
	return l
}

// through has the talkers of each shard talk through these stores in turn.
func (l *load) through(stores []store.Store) {
	have := make([]int, l.shards)
	for _, t := range l.talkers {
		t.store = stores[have[t.shard]%len(stores)]
		have[t.shard]++
	}
}

// again repeats what is not yet, or no more, what is tried: a store that finds out
// where things are, or was not used while they changed, tells its first callers so.
func again(ctx context.Context, do func(context.Context) error) error {
	for began := time.Now(); ; {
		err := do(ctx)
		if err == nil || time.Since(began) > Patience {
			return err
		}
		pass(ctx, pace)
	}
}

// run has all of them talk until ctx is done, and returns when the last call has
// ended.
func (l *load) run(ctx context.Context) {
	var talking sync.WaitGroup
	for _, t := range l.talkers {
		talking.Go(func() { t.talk(ctx) })
	}
	talking.Wait()
}

func (l *load) breaks(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.wrong) < 20 {
		l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
	}
}

// time notes a call. An error that is meant to come counts as none.
func (t *talker) time(op, text string, meant error, do func() error) error {
	l := t.load
	if text != "" {
		l.mu.Lock()
		l.sent[text]++
		l.mu.Unlock()
	}
	began := time.Now()
	err := do()
	c := call{shard: t.shard, op: op, began: began, took: time.Since(began)}
	if meant == nil || !errors.Is(err, meant) {
		c.class = l.class(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, c)
	return err
}

func (t *talker) start(ctx context.Context) error {
	held, err := t.store.BeginTurn(ctx, store.Begin{Owner: t.owner, Conversation: t.id, New: true, Fingerprint: "start"})
	if err == nil {
		err = t.store.CompleteTurn(ctx, held, answer("greeting"))
	}
	return err
}

func (t *talker) question(n int) string { return fmt.Sprintf("q-%d-%d.", t.number, n) }
func (t *talker) answer(n int) string   { return fmt.Sprintf("a-%d-%d.", t.number, n) }

func (t *talker) talk(ctx context.Context) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if !t.say(ctx, tick) {
			continue // the same again
		}
		if t.next++; t.next%lookEvery == 0 {
			t.look()
		}
	}
}

// say is one turn, and reports whether it was acknowledged.
func (t *talker) say(ctx context.Context, tick *time.Ticker) bool {
	// Calls have no deadline but their own, so that none is cut short by the end.
	own := t.load.tb.Context()
	begin := store.Begin{
		Owner: t.owner, Conversation: t.id, Input: message(store.RoleUser, t.question(t.next)),
		Fingerprint: fmt.Sprintf("fp-%d", t.next), Key: fmt.Sprintf("key-%d", t.next),
	}
	var held store.Turn
	err := t.time("BeginTurn", t.question(t.next), nil, func() (err error) {
		held, err = t.store.BeginTurn(own, begin)
		return err
	})
	switch {
	case errors.Is(err, store.ErrBusy): // our own begin, whose acknowledgement was lost
		return false
	case err != nil:
		t.unforeseen("BeginTurn", err)
		return false
	case held.Replay != nil:
		if got := texts(held.Replay.Messages); got != t.answer(t.next) {
			t.load.breaks("turn %d of %s: its replay is %q", t.next, t.id, got)
		}
		t.ack(held.Replay.Messages[0].Turn)
		return true
	}
	for {
		err := t.time(completing, t.answer(t.next), nil, func() error {
			return t.store.CompleteTurn(own, held, answer(t.answer(t.next)))
		})
		outage, down := errors.AsType[*store.Error](err)
		switch {
		case err == nil:
			t.ack(held.Number)
			return true
		case errors.Is(err, store.ErrStale) && t.load.async: // its begin was lost
			return false
		case !down || !outage.Transient():
			t.unforeseen("CompleteTurn", err)
			return false
		}
		// As the service does: an answer that the agent has given is not thrown away.
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
}

func (t *talker) ack(turn int) {
	t.acked, t.turn = append(t.acked, ack{t.next, time.Now()}), turn
}

// unforeseen tells of an answer that says that something is gone which is there.
func (t *talker) unforeseen(op string, err error) {
	if _, down := errors.AsType[*store.Error](err); !down && !t.load.stale {
		t.load.breaks("%s of turn %d of %s: %v", op, t.next, t.id, err)
	}
}

// look reads what there is, and what there is not.
func (t *talker) look() {
	ctx := t.load.tb.Context()
	var list store.Listing
	err := t.time("List", "", nil, func() (err error) {
		list, err = t.store.List(ctx, t.owner, store.Page{})
		return err
	})
	if err == nil && !t.load.stale && (len(list.Conversations) != 1 || list.Conversations[0].ID != t.id) {
		t.load.breaks("the list of the owner of %s has %d entries", t.id, len(list.Conversations))
	}
	err = t.time("Conversation of nobody", "", store.ErrNotFound, func() error {
		_, err := t.store.Conversation(ctx, t.owner, uuid.NewString(), store.Range{})
		return err
	})
	if err == nil {
		t.load.breaks("there is a conversation that nobody started")
	}
	var kept store.Conversation
	err = t.time("Conversation", "", nil, func() (err error) {
		kept, err = t.store.Conversation(ctx, t.owner, t.id, store.Range{From: max(1, t.turn)})
		return err
	})
	switch {
	case t.load.stale:
	case err != nil:
		t.unforeseen("Conversation", err)
	case t.turn > 0 && !slices.ContainsFunc(kept.Messages, func(m store.Message) bool { return m.Text == t.answer(t.acked[len(t.acked)-1].turn) }):
		t.load.breaks("%s is read without its turn %d, which was acknowledged: %q", t.id, t.turn, texts(kept.Messages))
	}
}

// kept reads the whole conversation through a store.
func (t *talker) kept(ctx context.Context, s store.Store) (all []store.Message, err error) {
	for from := 1; ; {
		part, err := s.Conversation(ctx, t.owner, t.id, store.Range{From: from})
		if err != nil {
			return nil, err
		}
		all = append(all, part.Messages...)
		if !part.Later || len(part.Messages) == 0 {
			return all, nil
		}
		from = part.Messages[len(part.Messages)-1].Turn + 1
	}
}

// verify counts the acknowledged turns, calls gone with those that are lost, and
// counts the texts that are there more than once.
func (l *load) verify(ctx context.Context, s store.Store, gone func(ack)) (acked, doubled int, err error) {
	for _, t := range l.talkers {
		var messages []store.Message
		err := again(ctx, func(ctx context.Context) (err error) {
			messages, err = t.kept(ctx, s)
			return err
		})
		if err != nil {
			return 0, 0, fmt.Errorf("read %s: %w", t.id, err)
		}
		times := map[string]int{}
		for _, m := range messages {
			times[m.Text]++
		}
		for _, n := range times {
			if n > 1 {
				doubled++
			}
		}
		acked += len(t.acked)
		for _, a := range t.acked {
			if times[t.question(a.turn)] == 0 || times[t.answer(a.turn)] == 0 {
				gone(a)
			}
		}
	}
	return acked, doubled, nil
}
