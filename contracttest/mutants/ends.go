package mutants

import (
	"context"
	"errors"
	"sync"

	"parley/store"
)

// ends are stores that are wrong about who ended a conversation.
func ends() []Mutant {
	return []Mutant{
		{
			Name: "takes-the-end-for-good", Wrong: "It closes a conversation that the agent has ended, as if its owner had.",
			Rules: []string{"S12.goes-on", "S12.failed", "S12.owner"},
			Break: breaking(func(m *broken, _ Options) {
				m.complete = func(ctx context.Context, t store.Turn, c store.Completion) error {
					err := m.Store.CompleteTurn(ctx, t, c)
					if err == nil && c.Ended {
						_, err = m.Store.SetStatus(ctx, t.Owner, t.Conversation, store.StatusCompleted)
					}
					return err
				}
			}),
		},
		{
			Name: "goes-on-where-it-ended", Wrong: "It gives the turn after the agent's end the id of the conversation that the agent has ended.",
			Rules: []string{"S12.goes-on", "S12.failed"},
			Break: breaking(keepsUpstream),
		},
		{
			Name: "opens-what-is-closed", Wrong: "It goes on in every completed conversation, whoever completed it.",
			Rules: []string{"S12.closed", "S12.owner", "S9.busy-closed"},
			Break: breaking(func(m *broken, _ Options) {
				m.begin = func(ctx context.Context, b store.Begin) (store.Turn, error) {
					t, err := m.Store.BeginTurn(ctx, b)
					if !errors.Is(err, store.ErrClosed) {
						return t, err
					}
					if _, err := m.Store.SetStatus(ctx, b.Owner, b.Conversation, store.StatusActive); err != nil {
						return store.Turn{}, err
					}
					return m.Store.BeginTurn(ctx, b)
				}
			}),
		},
		{
			Name: "lets-the-agent-reopen", Wrong: "It lets the agent's end undo what the owner closed while the turn ran.",
			Rules: []string{"S12.owner"},
			Break: breaking(func(m *broken, _ Options) {
				m.complete = func(ctx context.Context, t store.Turn, c store.Completion) error {
					if c.Ended {
						if _, err := m.Store.SetStatus(ctx, t.Owner, t.Conversation, store.StatusActive); err != nil && !errors.Is(err, store.ErrNotFound) {
							return err
						}
					}
					return m.Store.CompleteTurn(ctx, t, c)
				}
			}),
		},
		{
			Name: "skips-what-is-completed", Wrong: "It does not write a status that the conversation has already, so the owner's word is lost after the agent's.",
			Rules: []string{"S12.owner"},
			Break: breaking(func(m *broken, _ Options) {
				m.status = func(ctx context.Context, o store.Owner, id string, s store.Status) (store.Conversation, error) {
					c, err := m.Store.Conversation(ctx, o, id, store.Range{})
					if err == nil && c.Status == s && s == store.StatusCompleted {
						c.Messages = nil
						return c, nil
					}
					return m.Store.SetStatus(ctx, o, id, s)
				}
			}),
		},
	}
}

// keepsUpstream remembers the agent's ids and gives them back where there is none.
func keepsUpstream(m *broken, _ Options) {
	var mu sync.Mutex
	known := map[string]string{}
	m.complete = func(ctx context.Context, t store.Turn, c store.Completion) error {
		mu.Lock()
		if c.UpstreamID != "" {
			known[t.Conversation] = c.UpstreamID
		}
		mu.Unlock()
		return m.Store.CompleteTurn(ctx, t, c)
	}
	m.begin = func(ctx context.Context, b store.Begin) (store.Turn, error) {
		t, err := m.Store.BeginTurn(ctx, b)
		mu.Lock()
		defer mu.Unlock()
		if err == nil && t.UpstreamID == "" && t.Replay == nil && !t.New {
			t.UpstreamID = known[t.Conversation]
		}
		return t, err
	}
}
