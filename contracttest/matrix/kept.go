package matrix

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"parley/contracttest/claims"
)

// repeats is the promise that a repeat breaks which is answered wrongly: only those of
// turns have a key.
func (c *routeColumn) repeats(o outcome) claims.Claim {
	switch {
	case o.class == noAnswer:
		return claims.Told
	case c.route.turn():
		return claims.Idempotency
	}
	return claims.Kept
}

// keptAtLeast compares the history with what was acknowledged, where a repeat is
// another turn: what was told to have failed may be kept or not.
func (c *routeColumn) keptAtLeast(fired outcome) error {
	if !c.lacks.Has(claims.Read) {
		_, err := c.must("POST", "/api/chat/send", m{"conversationId": c.id, "text": "and another"}, "")
		return err
	}
	r, err := c.must("GET", "/api/chat/conversations/{id}", nil, "")
	if err != nil {
		return err
	}
	want := "assistant user assistant"
	if !c.route.opens && fired.class == "" {
		want += " " + c.route.adds
	}
	if got := roles(r); !strings.HasPrefix(got, want) {
		return fmt.Errorf("the history is %q, want at least %q", got, want)
	}
	return nil
}

// kept compares the history with what was said and acknowledged.
func (c *routeColumn) kept() error {
	if !c.lacks.Has(claims.Read) {
		return nil
	}
	r, err := c.call(c.tb.Context(), "GET", "/api/chat/conversations/{id}", nil, "")
	if err != nil {
		return err
	}
	if r.status == http.StatusServiceUnavailable {
		return fmt.Errorf("%s %w", r.Class, errLate)
	}
	if c.route.method == http.MethodDelete {
		if r.status != http.StatusNotFound {
			return fmt.Errorf("after the delete it answers %d", r.status)
		}
		return nil
	}
	want := "assistant user assistant"
	if !c.route.opens && c.route.adds != "" {
		want += " " + c.route.adds
	}
	if got := roles(r); got != want {
		return fmt.Errorf("the history is %q, want %q", got, want)
	}
	if c.route.method == http.MethodPatch && r.Status != "abandoned" {
		return fmt.Errorf("the status is %v", r.Status)
	}
	if !c.route.opens {
		return nil
	}
	first := c.id
	c.id = c.got.ConversationID
	defer func() { c.id = first }()
	opened, err := c.must("GET", "/api/chat/conversations/{id}", nil, "")
	if got := roles(opened); err == nil && got != c.route.adds {
		err = fmt.Errorf("the new conversation is %q, want %q", got, c.route.adds)
	}
	// Only what was asked for: the acknowledged one, the new one, and works'.
	if !c.lacks.Has(claims.List, claims.KeyPrefix) {
		return err // or others of the same owner would be counted, too
	}
	l, lerr := c.must("GET", "/api/chat/conversations", nil, "")
	if n := len(l.Conversations); lerr == nil && (n < 2 || n > 2+c.tries) {
		lerr = fmt.Errorf("%d conversations are listed, want 2 to %d", n, 2+c.tries)
	}
	return errors.Join(err, lerr)
}

func roles(r reply) string {
	all := make([]string, len(r.Messages))
	for i, m := range r.Messages {
		all[i] = m.Role
	}
	return strings.Join(all, " ")
}
