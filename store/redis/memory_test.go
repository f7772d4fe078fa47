package redis

import (
	"bufio"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/contracttest/redistest"
	"parley/store"
)

// What one owner takes of Redis is bounded by the sum that the operator's guide gives,
// whatever the conversations are full of. The settings are small ones.
func TestOwnerTakesNoMoreThanTheSum(t *testing.T) {
	Slow(t)
	const (
		conversations = 3
		turns         = 150
		bytes         = 1 << 20
		answer        = 256 << 10 // MAX_ANSWER_BYTES
		data          = 200 << 10 // of collectedData in a request of at most 256 KiB
	)
	// Of telemetry/README.md, "How much memory".
	const sum = conversations * ((bytes+answer)*5/4 + turns*200 + 512<<10)
	limits := store.Limits{Turns: turns, Bytes: bytes, Conversations: conversations}
	key := func(n int, b *store.Begin) { b.Key = strconv.Itoa(n) }
	// Every so many turns have data, and those between have keys, so that the data is
	// kept for their answers.
	dataEvery := func(turns int) func(int, *store.Begin) {
		return func(n int, b *store.Begin) {
			if n%turns > 0 {
				key(n, b)
				return
			}
			b.Workflow.StepData = fmt.Appendf(nil, `{"n":%d,"x":"%s"}`, n, strings.Repeat("d", data))
		}
	}
	for name, c := range map[string]struct {
		input, answer int // bytes of a text
		messages      int // of an answer
		change        func(n int, b *store.Begin)
		fails         bool
		least         int64 // that it must take, or it fills nothing
	}{
		"large texts":            {input: 64 << 10, answer: answer - 512, messages: 1, least: conversations * bytes},
		"many texts":             {input: 10, answer: 10, messages: 200, least: conversations * bytes},
		"turns that failed":      {input: 10, fails: true, least: conversations * turns * 100},
		"keys":                   {input: 10, answer: 2000, messages: 1, change: key, least: conversations * turns * 1000},
		"data in every other":    {input: 10, answer: 10, messages: 1, change: dataEvery(2), least: conversations * bytes},
		"data from time to time": {input: 10, answer: 2000, messages: 1, change: dataEvery(60), least: conversations * data},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, redistest.Start(t).URL(), 30*time.Second)
			ctx := t.Context()
			begin := func(b store.Begin) (store.Turn, error) {
				b.Owner, b.Limits = owner, limits
				return s.BeginTurn(ctx, b)
			}
			end := func(turn store.Turn) error {
				if c.fails && !turn.New {
					return s.FailTurn(ctx, turn, strings.Repeat("x", 64))
				}
				var said []store.Message
				for range c.messages {
					said = append(said, textOf(store.RoleAssistant, strings.Repeat("a", c.answer)))
				}
				out := store.Outcome{Messages: said, Extra: []byte(`{"latencyMs":12}`)}
				return s.CompleteTurn(ctx, turn, store.Completion{Outcome: out, UpstreamID: "u"})
			}
			_, err := s.BeginTurn(ctx, store.Begin{Owner: owner, Conversation: "none", Fingerprint: "f"}) // so that the scripts are known
			if !errors.Is(err, store.ErrNotFound) {
				t.Fatal(err)
			}
			empty := usedMemory(t, s)
			started := 0
			for {
				id := uuid.NewString()
				turn, err := begin(store.Begin{Conversation: id, New: true, Fingerprint: "start"})
				if errors.Is(err, store.ErrQuota) {
					break
				}
				if started++; err != nil || started > conversations {
					t.Fatalf("%d conversations: %v", started, err)
				}
				put(t, end(turn))
				for n := 0; ; n++ {
					b := store.Begin{Conversation: id, Fingerprint: fmt.Sprintf("%043d", n), Input: []store.Message{textOf(store.RoleUser, strings.Repeat("q", c.input))}}
					if c.change != nil {
						c.change(n, &b)
					}
					turn, err := begin(b)
					if errors.Is(err, store.ErrConversationFull) {
						break
					}
					put(t, err)
					put(t, end(turn))
				}
			}
			used := usedMemory(t, s) - empty
			if used > sum || used < c.least {
				t.Errorf("Redis uses %d bytes, want %d to %d", used, c.least, sum)
			}
			t.Logf("%d bytes of %d", used, sum)
		})
	}
}

func put(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// usedMemory is what Redis has allocated for all that it holds.
func usedMemory(t *testing.T, s *Store) int64 {
	t.Helper()
	info, err := s.rdb().Info(t.Context(), "memory").Result()
	put(t, err)
	for lines := bufio.NewScanner(strings.NewReader(info)); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "used_memory_dataset:"); ok {
			n, err := strconv.ParseInt(text, 10, 64)
			put(t, err)
			return n
		}
	}
	t.Fatal("Redis does not say how much memory it uses")
	return 0
}
