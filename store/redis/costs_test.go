package redis

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/contracttest/redistest"
	"parley/store"
)

// talk is a conversation that a test fills.
type talk struct {
	t  testing.TB
	s  *Store
	id string
}

func newTalk(t testing.TB, s *Store) *talk {
	t.Helper()
	c := &talk{t, s, uuid.NewString()}
	c.turn(store.Begin{New: true, Fingerprint: "start"}, "hello")
	return c
}

func textOf(role store.Role, text string) store.Message {
	return store.Message{ID: uuid.NewString(), Role: role, Kind: store.KindText, Text: text}
}

func (c *talk) turn(b store.Begin, answer ...string) {
	c.t.Helper()
	b.Owner, b.Conversation = owner, c.id
	turn, err := c.s.BeginTurn(c.t.Context(), b)
	if err != nil {
		c.t.Fatal(err)
	}
	var said []store.Message
	for _, text := range answer {
		said = append(said, textOf(store.RoleAssistant, text))
	}
	out := store.Outcome{Messages: said, Extra: []byte(`{"latencyMs":12,"workflowState":{"step":"a step","turnCount":12,"status":"active"}}`)}
	if err := c.s.CompleteTurn(c.t.Context(), turn, store.Completion{Outcome: out, UpstreamID: "u"}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *talk) says(n int, text string) store.Begin {
	return store.Begin{Fingerprint: fmt.Sprintf("%043d", n), Input: []store.Message{textOf(store.RoleUser, text)}}
}

func (c *talk) read(r store.Range) store.Conversation {
	c.t.Helper()
	got, err := c.s.Conversation(c.t.Context(), owner, c.id, r)
	if err != nil {
		c.t.Fatal(err)
	}
	return got
}

// A read costs what it returns, whatever else is in the conversation.
func TestReadCostsWhatItReturns(t *testing.T) {
	s, err := New(Options{URL: redistest.Start(t).URL(), roleInterval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	count := &traffic{}
	s.rdb().AddHook(count)
	c := newTalk(t, s)
	large := strings.Repeat("x", 64<<10)
	for n := range 70 {
		if n%2 == 1 {
			turn, err := s.BeginTurn(t.Context(), store.Begin{Owner: owner, Conversation: c.id, Fingerprint: strconv.Itoa(n)})
			if err == nil {
				err = s.FailTurn(t.Context(), turn, "upstream_unreachable")
			}
			if err != nil {
				t.Fatal(err)
			}
			continue
		}
		c.turn(c.says(n, large), large)
	}
	for name, want := range map[string]struct {
		r     store.Range
		trips int64
		bytes int
	}{
		"nothing new":     {store.Range{From: 71}, 1, 0},
		"the last turn":   {store.Range{From: 69}, 2, 2 * len(large)},
		"one turn":        {store.Range{Limit: 1}, 2, 0}, // the last failed
		"an early turn":   {store.Range{Before: 4, Limit: 2}, 2, 2 * len(large)},
		"the newest page": {store.Range{}, 2, 14 * len(large)},
		"from the start":  {store.Range{From: 1}, 2, 14 * len(large)},
	} {
		var got store.Conversation
		received := count.received.Load()
		cost := count.of(t, func() error { got = c.read(want.r); return nil })
		received = count.received.Load() - received
		texts := 0
		for _, m := range got.Messages {
			texts += len(m.Text)
		}
		if cost.roundTrips > want.trips || texts < want.bytes || received > int64(texts+2048+len(got.Messages)*200) {
			t.Errorf("%s took %d round trips and %d bytes for %d of texts", name, cost.roundTrips, received, texts)
		}
	}
}

// A conversation of the first edition, which noted nothing of its turns, is read in
// the same parts; and so is one that it has written to since.
func TestReadsWithoutMarks(t *testing.T) {
	s := newStore(t, redistest.Start(t).URL(), 5*time.Second)
	ctx := t.Context()
	for _, lost := range []string{"marks", "fields", "both", "damaged"} {
		c := newTalk(t, s)
		for n := range 40 {
			c.turn(c.says(n, "q"), slices.Repeat([]string{"a"}, n%4)...)
		}
		ranges := []store.Range{
			{}, {Limit: 1}, {Limit: 5}, {Before: 30, Limit: 7}, {Before: 2}, {Before: 1}, {From: 1}, {From: 20, Limit: 6}, {From: 40}, {From: 41}, {Before: 99, Limit: 3},
		}
		var want []string
		for _, r := range ranges {
			want = append(want, fmt.Sprintf("%+v", c.read(r)))
		}
		k := s.keys(owner, c.id)
		if lost == "marks" || lost == "both" {
			s.rdb().Del(ctx, k[keyMarks])
		}
		if lost == "fields" || lost == "both" {
			s.rdb().HDel(ctx, k[keyConversation], "bytes")
		}
		if lost == "damaged" {
			s.rdb().SetRange(ctx, k[keyMarks], 8*20, "\x00\x00\x00\x07\xff\xff\xff\xff")
		}
		for i, r := range ranges {
			if got := fmt.Sprintf("%+v", c.read(r)); got != want[i] {
				t.Errorf("without %s, %+v:\n got %s\nwant %s", lost, r, got, want[i])
			}
		}
		c.turn(c.says(99, "next"), "answer")
		if got := c.read(store.Range{From: 41}); len(got.Messages) != 2 {
			t.Errorf("without %s, after one more turn: %+v", lost, got.Messages)
		}
	}
}

// However often a conversation with large step data is written to with a key, the
// data is kept once.
func TestKeysAreNoCopies(t *testing.T) {
	s := newStore(t, redistest.Start(t).URL(), 5*time.Second)
	c := newTalk(t, s)
	b := c.says(0, "first")
	b.Key = "first"
	b.Workflow = store.Workflow{CurrentStep: "a step", StepData: []byte(`{"x":"` + strings.Repeat("d", 64<<10) + `"}`)}
	c.turn(b, "noted")
	text := strings.Repeat("t", 75)
	for n := range 500 {
		b := c.says(n+1, text)
		b.Key = strconv.Itoa(n)
		c.turn(b, text)
	}
	var sum int64
	for _, key := range s.keys(owner, c.id) {
		n, _ := s.rdb().MemoryUsage(t.Context(), key, 0).Result() // an error for what is not there
		sum += n
	}
	if sum > 500_000 {
		t.Errorf("%d bytes in Redis", sum)
	}
}

// A turn allocates for what it says, and not for each key and each read: 101 times where
// this was written, with the client library's own.
func TestTurnAllocates(t *testing.T) {
	const most = 115
	c := newTalk(t, newStore(t, redistest.Start(t).URL(), 5*time.Second))
	said := []store.Message{textOf(store.RoleUser, "question")}
	answered := store.Completion{Outcome: store.Outcome{Messages: []store.Message{textOf(store.RoleAssistant, "answer")}}}
	n := testing.AllocsPerRun(200, func() {
		turn, err := c.s.BeginTurn(t.Context(), store.Begin{Owner: owner, Conversation: c.id, Fingerprint: "f", Input: said})
		if err == nil {
			err = c.s.CompleteTurn(t.Context(), turn, answered)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	if n > most {
		t.Errorf("a turn allocates %v times, allowed are %d", n, most)
	}
}
