package mutants

import (
	"context"
	"crypto/rand"
	"sync"

	"parley/store"
)

// keys are wrong about idempotency keys.
func keys() []Mutant {
	return []Mutant{
		{
			Name: "knows-no-bounds", Wrong: "It starts and takes as many conversations and turns as it is asked for.",
			Rules: []string{"S31.turns", "S31.bytes", "S31.repeats", "S32.quota", "S32.starting", "S32.race", "S32.ended"},
			Break: changingBegin(func(b *store.Begin) { b.Limits = store.Limits{} }),
		},
		{
			Name: "counts-what-is-listed", Wrong: "It lets an owner start more conversations while others are being started.",
			Rules: []string{"S32.starting", "S32.race"},
			Break: breaking(countsListed),
		},
		{
			Name: "forgets-step-data", Wrong: "It gives answers again without the step data of their time.",
			Rules: []string{"S9.kept"},
			Break: breaking(func(m *broken, _ Options) {
				m.begin = func(ctx context.Context, b store.Begin) (store.Turn, error) {
					t, err := m.Store.BeginTurn(ctx, b)
					if t.Replay != nil {
						t.Replay.StepData = nil
					}
					return t, err
				}
			}),
		},
		{
			Name: "ignores-keys", Wrong: "It ignores idempotency keys.",
			Rules: []string{
				"S9.replay", "S9.replay-later", "S9.replay-closed", "S9.failed", "S9.start", "S9.handed-on",
				"S9.other", "S10.mismatch", "S20.handles", "S9.busy-closed", "S10.start", "S30.same", "S31.bytes", "S31.repeats", "S9.kept",
			},
			Break: changingBegin(func(b *store.Begin) { b.Key = "" }),
		},
		{
			Name: "takes-every-key-for-new", Wrong: "It never recognises an idempotency key.",
			Rules: []string{
				"S9.replay", "S9.replay-later", "S9.replay-closed", "S9.failed", "S9.lapsed", "S9.start",
				"S9.handed-on", "S10.mismatch", "S15.renewed", "S20.handles", "S9.busy-closed", "S10.start",
				"S30.same", "S31.repeats", "S9.kept",
			},
			Break: changingBegin(func(b *store.Begin) {
				if b.Key != "" {
					b.Key = rand.Text()
				}
			}),
		},
		{
			Name: "has-one-scope-for-all-keys", Wrong: "It takes the key of a start for used when a turn comes with the same.",
			Rules: []string{"S10.start"},
			Break: breaking(oneScope),
		},
		{
			Name: "replays-the-last-answer", Wrong: "It replays the answer that it stored last, whatever the key.",
			Rules: []string{"S11.unheard", "S9.replay", "S9.replay-later", "S10.start", "S9.kept", "S11.late"},
			Break: breaking(replaysLast),
		},
		{
			Name: "asks-for-the-status-first", Wrong: "It refuses every call on a conversation that is closed, also what belongs to an earlier turn.",
			Rules: []string{"S12.goes-on", "S12.failed", "S12.owner", "S9.replay-closed", "S9.busy-closed", "S15.renewed", "S16.held"},
			Break: breaking(asksStatusFirst),
		},
		{
			Name: "replays-what-is-not-stored", Wrong: "It replays an answer that it could not store.",
			History: true, Chaos: true,
			Break: breaking(replaysUnstored),
		},
	}
}

// countsListed has a limit that grows by what an owner is starting.
func countsListed(m *broken, _ Options) {
	var mu sync.Mutex
	starting := map[store.Owner]int{}
	add := func(o store.Owner, n int) int {
		mu.Lock()
		defer mu.Unlock()
		starting[o] += n
		return starting[o]
	}
	m.begin = func(ctx context.Context, b store.Begin) (store.Turn, error) {
		if !b.New {
			return m.Store.BeginTurn(ctx, b)
		}
		if others := add(b.Owner, 1) - 1; b.Limits.Conversations > 0 {
			b.Limits.Conversations += others
		}
		t, err := m.Store.BeginTurn(ctx, b)
		if err != nil {
			add(b.Owner, -1)
		}
		return t, err
	}
	m.complete = func(ctx context.Context, t store.Turn, c store.Completion) error {
		err := m.Store.CompleteTurn(ctx, t, c)
		if t.New && err == nil {
			add(t.Owner, -1)
		}
		return err
	}
}

func oneScope(m *broken, _ Options) {
	var started table[string] // fingerprint by conversation and key
	m.begin = func(ctx context.Context, b store.Begin) (store.Turn, error) {
		at := b.Conversation + " " + b.Key
		if first, ok := started.get(at); ok && !b.New && b.Key != "" && first != b.Fingerprint {
			return store.Turn{}, store.ErrMismatch
		}
		if b.New {
			started.set(at, b.Fingerprint)
		}
		return m.Store.BeginTurn(ctx, b)
	}
}

func replaysLast(m *broken, _ Options) {
	var last table[[]store.Message]
	m.complete = func(ctx context.Context, t store.Turn, c store.Completion) error {
		last.set(t.Conversation, c.Messages)
		return m.Store.CompleteTurn(ctx, t, c)
	}
	m.begin = func(ctx context.Context, b store.Begin) (store.Turn, error) {
		t, err := m.Store.BeginTurn(ctx, b)
		if t.Replay != nil {
			t.Replay.Messages, _ = last.get(b.Conversation)
		}
		return t, err
	}
}

func asksStatusFirst(m *broken, _ Options) {
	open := func(ctx context.Context, o store.Owner, id string) error {
		if c, err := m.Store.Conversation(ctx, o, id, store.Range{}); err == nil && c.Status != store.StatusActive {
			return store.ErrClosed
		}
		return nil
	}
	m.begin = func(ctx context.Context, b store.Begin) (store.Turn, error) {
		if err := open(ctx, b.Owner, b.Conversation); err != nil {
			return store.Turn{}, err
		}
		return m.Store.BeginTurn(ctx, b)
	}
	m.complete = func(ctx context.Context, t store.Turn, c store.Completion) error {
		if err := open(ctx, t.Owner, t.Conversation); err != nil {
			return err
		}
		return m.Store.CompleteTurn(ctx, t, c)
	}
}

func replaysUnstored(m *broken, _ Options) {
	var keyOf table[string] // by token
	var unstored table[store.Outcome]
	m.begin = func(ctx context.Context, b store.Begin) (store.Turn, error) {
		if o, ok := unstored.get(b.Key); ok && b.Key != "" {
			return store.Turn{Owner: b.Owner, Conversation: b.Conversation, Replay: &o}, nil
		}
		t, err := m.Store.BeginTurn(ctx, b)
		keyOf.set(t.Token, b.Key)
		return t, err
	}
	m.complete = func(ctx context.Context, t store.Turn, c store.Completion) error {
		key, _ := keyOf.get(t.Token)
		if _, ok := unstored.get(key); ok {
			return nil
		}
		err := m.Store.CompleteTurn(ctx, t, c)
		if err != nil && key != "" {
			unstored.set(key, c.Outcome)
		}
		return err
	}
}
