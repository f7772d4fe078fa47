// Package memory keeps conversations in the process: for a newcomer's first
// run and for tests. It keeps the encoded form of package wire, so that nothing
// in it can alias what a caller holds, and times round as they do in Redis.
// What it keeps is gone when the process ends.
package memory

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"parley/store"
	"parley/store/fair"
	"parley/store/internal/wire"
)

// Bounds of the store when Options has none.
const (
	DefaultMaxConversations = 10_000
	DefaultMaxBytes         = 128 << 20
)

// Options of a Store. The zero value is usable.
type Options struct {
	TTL time.Duration // how long a conversation outlives its last write; 24 h if 0
	// MaxConversations and MaxBytes bound memory; see evict. The bytes are those of
	// the stored form. DefaultMaxConversations and DefaultMaxBytes if 0.
	MaxConversations, MaxBytes int
	Now                        func() time.Time // time.Now if nil
	Large                      *fair.Places     // bounds how many large ranges are decoded at once
}

// Store is a store.Store in memory.
type Store struct {
	ttl      time.Duration
	max      int
	maxBytes int
	now      func() time.Time
	large    *fair.Places

	mu    sync.Mutex
	convs map[key]*list.Element // of *conversation
	// idle orders all conversations by their last write, the latest in front.
	// One TTL for all makes it the order of their expiry as well.
	idle *list.List
	// starts are the conversations that are being started, by owner and id.
	starts map[string]map[string]*conversation
	// bytes of all conversations, and how many each owner has, the invisible included.
	bytes  int
	owners map[string]int
	// index orders each owner's visible conversations; see index.go.
	index map[string]*index
}

type key struct{ owner, id string }

// conversation is one record in its stored form.
type conversation struct {
	key
	fields   map[string]string
	messages []string
	records  map[string]string // idempotency records by wire.KeyTag
	lease    struct {
		token string
		until time.Time
	}
	relay   relay
	expires time.Time
	bytes   int // when it was written last
}

var _ store.Store = (*Store)(nil)

// New makes an empty Store.
func New(o Options) *Store {
	s := &Store{
		ttl: o.TTL, max: o.MaxConversations, maxBytes: o.MaxBytes, now: o.Now, large: o.Large,
		convs: map[key]*list.Element{}, idle: list.New(), owners: map[string]int{}, starts: map[string]map[string]*conversation{}, index: map[string]*index{},
	}
	if s.ttl <= 0 {
		s.ttl = 24 * time.Hour
	}
	if s.max <= 0 {
		s.max = DefaultMaxConversations
	}
	if s.maxBytes <= 0 {
		s.maxBytes = DefaultMaxBytes
	}
	if s.now == nil {
		s.now = time.Now
	}
	return s
}

// Ping implements store.Store.
func (s *Store) Ping(ctx context.Context) error { return alive(ctx, "Ping") }

// Close implements store.Store.
func (s *Store) Close() error { return nil }

func alive(ctx context.Context, op string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store: %s: %w", op, err)
	}
	return nil
}

// BeginTurn implements store.Store.
func (s *Store) BeginTurn(ctx context.Context, b store.Begin) (store.Turn, error) {
	if err := alive(ctx, "BeginTurn"); err != nil {
		return store.Turn{}, err
	}
	input := make([]string, 0, len(b.Input))
	for _, m := range b.Input {
		e, err := wire.EncodeMessage(m)
		if err != nil {
			return store.Turn{}, err
		}
		input = append(input, e)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	k := key{wire.OwnerTag(b.Owner), b.Conversation}
	c, err := s.judged("BeginTurn", b.Owner, b.Conversation, now)
	switch {
	case err != nil:
		return store.Turn{}, err
	case !b.New && (c == nil || c.fields[wire.FieldState] == wire.StateStarting):
		return store.Turn{}, store.ErrNotFound
	case c == nil && s.quota(k.owner, b.Limits, now):
		return store.Turn{}, store.ErrQuota
	case c == nil:
		fields := wire.NewFields(b)
		fields[wire.FieldCreated] = wire.Time(now)
		c = &conversation{key: k, fields: fields, records: map[string]string{}}
		s.insert(c)
		return s.hold(c, b, now, wire.StateStarting, false), nil
	}
	repeated := b.Key == "" && c.fields[wire.FieldInput] == b.Fingerprint
	if encoded, ok := c.records[wire.KeyTag(b)]; ok {
		rec, err := c.record(encoded)
		switch {
		case err != nil:
			return store.Turn{}, corrupt("BeginTurn", err)
		case rec.Fingerprint != b.Fingerprint:
			return store.Turn{}, store.ErrMismatch
		case rec.Done:
			return s.replay(c, b, rec)
		}
		repeated = rec.Turn == c.int(wire.FieldTurns)
	}
	if b.Key == "" && repeated && c.fields[wire.FieldUnheard] != "" {
		if t, ok, err := s.hear(c, b, now); ok || err != nil {
			return t, err
		}
	}
	closed := c.fields[wire.FieldStatus] != string(store.StatusActive) && !c.ended()
	// A repeat of what runs can wait for it.
	if left := c.lease.until.Sub(now); left > 0 && (repeated || !closed) {
		same := repeated && (b.Key != "" || c.fields[wire.FieldKey] == "" && c.fields[wire.FieldUpdated] > wire.Time(now.Add(-store.JoinTime)))
		return store.Turn{}, &store.BusyError{Turn: c.int(wire.FieldTurns), RetryAfter: left, Same: same}
	}
	if closed {
		return store.Turn{}, store.ErrClosed
	}
	return s.next(c, b, input, repeated, now)
}

// hear replays an answer that nobody heard, as long as its time lasts.
func (s *Store) hear(c *conversation, b store.Begin, now time.Time) (t store.Turn, ok bool, err error) {
	first := c.fields[wire.FieldHeardAt]
	if first != "" && now.UnixMilli()-int64(c.int(wire.FieldHeardAt)) >= store.HearingTime.Milliseconds() {
		return store.Turn{}, false, nil
	}
	rec, err := c.record(c.fields[wire.FieldUnheard])
	if err != nil {
		return store.Turn{}, false, corrupt("BeginTurn", err)
	}
	if t, err = s.replay(c, b, rec); err != nil {
		return store.Turn{}, false, err
	}
	if first == "" {
		c.fields[wire.FieldHeardAt] = strconv.FormatInt(now.UnixMilli(), 10)
	}
	return t, true, nil
}

// next takes a turn in a conversation that nobody holds: the last one over
// again if it is unfinished and this is its repetition, else a new one.
func (s *Store) next(c *conversation, b store.Begin, input []string, repeated bool, now time.Time) (store.Turn, error) {
	state, turn := c.fields[wire.FieldState], c.int(wire.FieldTurns)
	if repeated && state != wire.StateDone {
		if state == wire.StateStarting && s.quota(c.owner, b.Limits, now) { // it has lapsed, and did not count meanwhile
			return store.Turn{}, store.ErrQuota
		}
		delete(c.fields, wire.FieldFailPrefix+strconv.Itoa(turn))
		if state != wire.StateStarting {
			state = wire.StateRunning
		}
		return s.hold(c, b, now, state, true), nil
	}
	if b.New { // an id that is taken: only a caller that chooses ids badly gets here
		return store.Turn{}, store.ErrMismatch
	}
	said := make([]string, 0, len(input))
	bytes := wire.Size(c.fields)
	for _, e := range input {
		said = append(said, wire.Element(turn+1, e))
		bytes += len(said[len(said)-1])
	}
	if l := b.Limits; l.Turns > 0 && turn >= l.Turns || l.Bytes > 0 && bytes > l.Bytes {
		return store.Turn{}, store.ErrConversationFull
	}
	if state == wire.StateRunning {
		c.fields[wire.FieldFailPrefix+strconv.Itoa(turn)] = store.Lapsed
	}
	turn++
	c.fields[wire.FieldTurns] = strconv.Itoa(turn)
	c.append(said)
	return s.hold(c, b, now, wire.StateRunning, false), nil
}

// hold writes what every begin writes and gives the turn to its holder.
func (s *Store) hold(c *conversation, b store.Begin, now time.Time, state string, adopted bool) store.Turn {
	turn, fence, token := c.int(wire.FieldTurns), c.int(wire.FieldFence)+1, wire.NewToken()
	if c.ended() { // it goes on with this turn
		c.fields[wire.FieldStatus] = string(store.StatusActive)
		delete(c.fields, wire.FieldEnded)
		delete(c.fields, wire.FieldUpstream)
	}
	tag := wire.KeyTag(b)
	if len(b.Workflow.StepData) > 0 {
		wire.Replace(c.fields, c.records, turn)
		c.fields[wire.FieldData] = strconv.Itoa(turn)
	} else if tag != "" {
		c.fields[wire.FieldKeyed] = strconv.Itoa(turn)
	}
	set(c.fields, wire.WorkflowFields(b.Workflow))
	delete(c.fields, wire.FieldUnheard) // the next turn begins: it was heard, or never will be
	delete(c.fields, wire.FieldHeardAt)
	set(c.fields, map[string]string{
		wire.FieldState: state, wire.FieldFence: strconv.Itoa(fence), wire.FieldToken: token,
		wire.FieldInput: b.Fingerprint, wire.FieldCount: strconv.Itoa(len(c.messages)),
	})
	if tag != "" {
		if _, known := c.records[tag]; !known {
			wire.Forget(c.records)
		}
		c.records[tag] = wire.Record{Fingerprint: b.Fingerprint, Turn: turn}.Encode()
		c.fields[wire.FieldKey] = tag
	} else if !adopted { // a turn taken over keeps the key it was begun with
		delete(c.fields, wire.FieldKey)
	}
	wire.Count(c.fields, c.records)
	c.lease.token, c.lease.until = token, now.Add(store.LeaseTime)
	s.touch(c, now)
	t := c.turn(b)
	t.Number, t.Fence, t.Token, t.Adopted = turn, int64(fence), token, adopted
	return t
}

func (s *Store) replay(c *conversation, b store.Begin, rec wire.Record) (store.Turn, error) {
	messages, err := wire.DecodeElements(c.messages[rec.First : rec.First+rec.Count])
	if err != nil {
		return store.Turn{}, corrupt("BeginTurn", err)
	}
	t := c.turn(b)
	t.Number = rec.Turn
	t.Replay = &store.Outcome{Messages: messages, Extra: extra(rec.Extra), StepData: extra(wire.StepData(c.fields, c.records, rec.Turn))}
	return t, nil
}

func extra(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

// CompleteTurn implements store.Store.
func (s *Store) CompleteTurn(ctx context.Context, t store.Turn, done store.Completion) error {
	if err := alive(ctx, "CompleteTurn"); err != nil {
		return err
	}
	elements, err := wire.Elements(t, done)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	c, err := s.ofTurn("CompleteTurn", t, now)
	switch {
	case err != nil:
		return err
	case c.fields[wire.FieldDone] == t.Token:
		if done.Unheard && c.fields[wire.FieldUnheard] == "" && len(elements) <= len(c.messages) {
			c.unheard(t, len(c.messages)-len(elements), len(elements), done)
		}
		return nil
	case c.fields[wire.FieldToken] != t.Token, c.fields[wire.FieldState] == wire.StateFailed:
		return store.ErrStale
	}
	if tag := c.fields[wire.FieldKey]; tag != "" {
		old, err := c.record(c.records[tag])
		if err != nil {
			return corrupt("CompleteTurn", err)
		}
		c.records[tag] = wire.Record{
			Fingerprint: old.Fingerprint, Turn: old.Turn, Done: true,
			First: len(c.messages), Count: len(elements), Extra: string(done.Extra),
		}.Encode()
	}
	if done.Unheard || c.lease.token != t.Token || !now.Before(c.lease.until) { // or so late that its caller may have given up
		c.unheard(t, len(c.messages), len(elements), done)
	}
	if len(done.Workflow.StepData) > 0 {
		turn := c.int(wire.FieldTurns)
		wire.Replace(c.fields, c.records, turn)
		c.fields[wire.FieldData] = strconv.Itoa(turn)
		if c.fields[wire.FieldKey] != "" {
			c.fields[wire.FieldKeyed] = strconv.Itoa(turn) // the repeat does not have what the agent added
		}
	}
	wire.Count(c.fields, c.records)
	c.append(elements)
	set(c.fields, wire.CompletionFields(t, done))
	if done.Ended && c.fields[wire.FieldStatus] == string(store.StatusActive) { // what its owner closed meanwhile stays so
		c.fields[wire.FieldStatus], c.fields[wire.FieldEnded] = string(store.StatusCompleted), wire.EndedByAgent
	}
	c.fields[wire.FieldCount] = strconv.Itoa(len(c.messages))
	c.lease.token, c.lease.until = "", time.Time{}
	if c.signals(now).Listened {
		r := c.relayOf(now)
		r.token, r.extra, r.until = t.Token, string(done.Extra), now.Add(store.RelayTime)
		delete(c.fields, wire.FieldListen)
	}
	s.touch(c, now)
	return nil
}

// unheard keeps an answer for a repeat without a key, if it is the last one's and
// that had no key either.
func (c *conversation) unheard(t store.Turn, first, count int, done store.Completion) {
	if c.fields[wire.FieldToken] != t.Token || c.fields[wire.FieldKey] != "" {
		return
	}
	c.fields[wire.FieldUnheard] = wire.Record{
		Fingerprint: c.fields[wire.FieldInput], Turn: c.int(wire.FieldTurns), Done: true,
		First: first, Count: count, Extra: string(done.Extra),
	}.Encode()
}

// FailTurn implements store.Store.
func (s *Store) FailTurn(ctx context.Context, t store.Turn, class string) error {
	if err := alive(ctx, "FailTurn"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	c, err := s.ofTurn("FailTurn", t, now)
	switch {
	case errors.Is(err, store.ErrLost):
		return nil // what was asked for
	case err != nil:
		return err
	case c.fields[wire.FieldToken] != t.Token, c.fields[wire.FieldState] == wire.StateDone:
		return store.ErrStale
	case c.fields[wire.FieldState] == wire.StateFailed:
		return nil
	case c.fields[wire.FieldState] == wire.StateStarting:
		s.remove(c)
		return nil
	}
	c.fields[wire.FieldState] = wire.StateFailed
	c.fields[wire.FieldFailPrefix+strconv.Itoa(t.Number)] = class
	c.lease.token, c.lease.until = "", time.Time{}
	s.touch(c, now)
	return nil
}
