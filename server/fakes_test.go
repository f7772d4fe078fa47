package server

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"parley/server/copilot"
	"parley/server/turn"
	"parley/store"
)

// fakeAgent answers by script and counts what it is asked.
type fakeAgent struct {
	start func(context.Context, copilot.Start) iter.Seq2[copilot.Event, error]
	turn  func(context.Context, copilot.Turn) iter.Seq2[copilot.Event, error]

	mu     sync.Mutex
	starts []copilot.Start
	turns  []copilot.Turn
}

func (a *fakeAgent) Start(ctx context.Context, s copilot.Start) iter.Seq2[copilot.Event, error] {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.starts = append(a.starts, s)
	if a.start != nil {
		return a.start(ctx, s)
	}
	id := copilot.Event{Kind: copilot.EventConversation, ConversationID: fmt.Sprintf("up-%d", len(a.starts))}
	if s.Silent {
		return events(id)
	}
	return events(id, messageEvent(copilot.Message{ID: "act-hello", Text: "Hello, what is it about?"}))
}

func (a *fakeAgent) Turn(ctx context.Context, t copilot.Turn) iter.Seq2[copilot.Event, error] {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turns = append(a.turns, t)
	if a.turn != nil {
		return a.turn(ctx, t)
	}
	return events(conversationEvent(t), messageEvent(copilot.Message{ID: "act-1", Text: "You said: " + t.Text}))
}

func (a *fakeAgent) asked() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.starts) + len(a.turns)
}

func (a *fakeAgent) lastTurn() copilot.Turn {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.turns[len(a.turns)-1]
}

func conversationEvent(t copilot.Turn) copilot.Event {
	return copilot.Event{Kind: copilot.EventConversation, ConversationID: t.ConversationID}
}

func messageEvent(m copilot.Message) copilot.Event {
	m.FromBot = true
	return copilot.Event{Kind: copilot.EventMessage, Message: m}
}

// answeringAgent makes an agent that gives the same messages in every turn.
func answeringAgent(messages ...copilot.Message) *fakeAgent {
	return &fakeAgent{turn: func(_ context.Context, t copilot.Turn) iter.Seq2[copilot.Event, error] {
		all := []copilot.Event{conversationEvent(t)}
		for _, m := range messages {
			all = append(all, messageEvent(m))
		}
		return events(all...)
	}}
}

// failingAgent makes an agent whose turns end in an error.
func failingAgent(err error) *fakeAgent {
	return &fakeAgent{turn: func(context.Context, copilot.Turn) iter.Seq2[copilot.Event, error] { return broken(err) }}
}

func events(all ...copilot.Event) iter.Seq2[copilot.Event, error] {
	return func(yield func(copilot.Event, error) bool) {
		for _, e := range all {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func broken(err error) iter.Seq2[copilot.Event, error] {
	return func(yield func(copilot.Event, error) bool) { yield(copilot.Event{}, err) }
}

// countingStore counts the calls that reach a store, and can be made to fail.
type countingStore struct {
	store.Store
	mu    sync.Mutex
	calls []string
	fail  map[string]error // by method
	// refuse is a conversation whose turns are never completed.
	refuse string
}

func (c *countingStore) called(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, name)
	return c.fail[name]
}

func (c *countingStore) callNames() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string{}, c.calls...)
}

func (c *countingStore) resetCalls() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = nil
}

func (c *countingStore) failOn(name string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail == nil {
		c.fail = map[string]error{}
	}
	c.fail[name] = err
}

func (c *countingStore) BeginTurn(ctx context.Context, b store.Begin) (store.Turn, error) {
	if err := c.called("BeginTurn"); err != nil {
		return store.Turn{}, err
	}
	return c.Store.BeginTurn(ctx, b)
}

func (c *countingStore) CompleteTurn(ctx context.Context, t store.Turn, done store.Completion) error {
	if err := c.called("CompleteTurn"); err != nil {
		return err
	}
	if t.Conversation == c.refuse {
		return errAway
	}
	return c.Store.CompleteTurn(ctx, t, done)
}

func (c *countingStore) FailTurn(ctx context.Context, t store.Turn, class string) error {
	if err := c.called("FailTurn " + class); err != nil {
		return err
	}
	return c.Store.FailTurn(ctx, t, class)
}

func (c *countingStore) Conversation(ctx context.Context, o store.Owner, id string, r store.Range) (store.Conversation, error) {
	if err := c.called("Conversation"); err != nil {
		return store.Conversation{}, err
	}
	return c.Store.Conversation(ctx, o, id, r)
}

func (c *countingStore) List(ctx context.Context, o store.Owner, p store.Page) (store.Listing, error) {
	if err := c.called("List"); err != nil {
		return store.Listing{}, err
	}
	return c.Store.List(ctx, o, p)
}

func (c *countingStore) SetStatus(ctx context.Context, o store.Owner, id string, status store.Status) (store.Conversation, error) {
	if err := c.called("SetStatus"); err != nil {
		return store.Conversation{}, err
	}
	return c.Store.SetStatus(ctx, o, id, status)
}

func (c *countingStore) Delete(ctx context.Context, o store.Owner, id string) error {
	if err := c.called("Delete"); err != nil {
		return err
	}
	return c.Store.Delete(ctx, o, id)
}

func (c *countingStore) RenewLease(ctx context.Context, t store.Turn) (store.Signals, error) {
	if err := c.called("RenewLease"); err != nil {
		if errors.Is(err, turn.ErrPanic) {
			panic(err)
		}
		return store.Signals{}, err
	}
	return c.Store.RenewLease(ctx, t)
}

func (c *countingStore) Publish(ctx context.Context, t store.Turn, e store.Entry) (bool, store.Signals, error) {
	if err := c.called("Publish"); err != nil {
		return false, store.Signals{}, err
	}
	return c.Store.Publish(ctx, t, e)
}

func (c *countingStore) Follow(ctx context.Context, f store.Follow) (store.Relayed, error) {
	if err := c.called("Follow"); err != nil {
		return store.Relayed{}, err
	}
	return c.Store.Follow(ctx, f)
}

func (c *countingStore) Stop(ctx context.Context, o store.Owner, id string) (int, bool, error) {
	if err := c.called("Stop"); err != nil {
		return 0, false, err
	}
	return c.Store.Stop(ctx, o, id)
}
