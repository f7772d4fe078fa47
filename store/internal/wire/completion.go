package wire

import (
	"slices"
	"strconv"

	"parley/store"
)

// Elements are the list elements of a completion. The messages of an ordinary
// turn are of that turn whatever they say; those of a conversation that starts
// with its first turn name their own.
func Elements(t store.Turn, c store.Completion) ([]string, error) {
	out := make([]string, 0, len(c.Messages))
	var b []byte
	for i := range c.Messages {
		m := &c.Messages[i]
		turn := t.Number
		if c.Turns > 0 {
			turn = m.Turn
		}
		b = slices.Grow(b[:0], messageSize+len(m.Text))
		b = append(strconv.AppendInt(b, int64(turn), 10), ' ')
		var err error
		if b, err = appendMessage(b, m); err != nil {
			return nil, err
		}
		out = append(out, string(b))
	}
	return out, nil
}

// CompletionFields are the fields that a completion sets, but for what an end does to
// the status: that depends on the one that is stored.
func CompletionFields(t store.Turn, c store.Completion) map[string]string {
	f := WorkflowFields(c.Workflow)
	f[FieldState], f[FieldDone] = StateDone, t.Token
	if c.UpstreamID != "" {
		f[FieldUpstream] = c.UpstreamID
	}
	if c.Turns > 0 {
		f[FieldTurns] = strconv.Itoa(c.Turns)
	}
	return f
}

// PageLimit is the number of entries that a page asks for, within its bounds.
func PageLimit(n int) int {
	if n <= 0 || n > store.MaxPage {
		return store.MaxPage
	}
	return n
}

// TurnState is what a State… value is called outside of the record.
func TurnState(state string) store.TurnState {
	switch state {
	case StateStarting, StateRunning:
		return store.TurnRunning
	case StateFailed:
		return store.TurnFailed
	}
	return store.TurnCompleted
}
