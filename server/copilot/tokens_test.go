package copilot_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/server/copilot"
)

type tokenFunc func(context.Context, copilot.Identity) (string, error)

func (f tokenFunc) Token(ctx context.Context, id copilot.Identity) (string, error) { return f(ctx, id) }

// shown is an agent that keeps the tokens that it is shown, and answers with an error
// or nothing.
type shown struct {
	tokens []string
	err    *copilot.Error
}

func (s *shown) answer(id copilot.Identity) iter.Seq2[copilot.Event, error] {
	return func(yield func(copilot.Event, error) bool) {
		s.tokens = append(s.tokens, id.Token)
		if s.err != nil {
			yield(copilot.Event{}, s.err)
		}
	}
}

func (s *shown) Start(_ context.Context, in copilot.Start) iter.Seq2[copilot.Event, error] {
	return s.answer(in.Identity)
}

func (s *shown) Turn(_ context.Context, in copilot.Turn) iter.Seq2[copilot.Event, error] {
	return s.answer(in.Identity)
}

// The client shows the token of the identity, and none without one.
func TestClientShowsToken(t *testing.T) {
	for token, want := range map[string][]string{"for-u": {"Bearer for-u"}, "": nil} {
		a := &answer{body: end}
		web := httptest.NewServer(a)
		t.Cleanup(web.Close)
		o := collect(t, unsigned(t, web.URL, nil).Turn(t.Context(), copilot.Turn{Identity: copilot.Identity{Token: token}, ConversationID: "c"}))
		if got := a.last.Header["Authorization"]; o.err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q: %q, %+v", token, got, o.err)
		}
	}
}

// Every call shows the token of its identity. Without one the agent is not asked, and
// the fault is the issuer's.
func TestWithTokens(t *testing.T) {
	own := &copilot.Error{Op: "token", Kind: copilot.ErrToken, Code: "AADSTS7000215", Reason: copilot.ReasonClientRefused}
	for name, c := range map[string]struct {
		token string
		err   error
		want  copilot.Error
	}{
		"a token":      {"for-u", nil, copilot.Error{}},
		"no token":     {"", nil, copilot.Error{}},
		"any error":    {"", errors.New("no consent"), copilot.Error{Kind: copilot.ErrToken}},
		"an *Error":    {"", fmt.Errorf("wrapped: %w", own), copilot.Error{Kind: copilot.ErrToken, Code: own.Code, Reason: own.Reason}},
		"a deadline":   {"", context.DeadlineExceeded, copilot.Error{Kind: copilot.ErrToken, Reason: copilot.ReasonTimeout}},
		"a line break": {"a\r\nX: y", nil, copilot.Error{Kind: copilot.ErrToken, Reason: copilot.ReasonNotUnderstood}},
	} {
		inner := &shown{}
		var asked []copilot.Identity
		a := copilot.WithTokens(inner, tokenFunc(func(_ context.Context, id copilot.Identity) (string, error) {
			asked = append(asked, id)
			return c.token, c.err
		}))
		id := copilot.Identity{Tenant: "t", User: "u", Assertion: "jwt"}
		for op, call := range map[string]iter.Seq2[copilot.Event, error]{
			"start": a.Start(t.Context(), copilot.Start{Identity: id}),
			"turn":  a.Turn(t.Context(), copilot.Turn{Identity: id, ConversationID: "c"}),
		} {
			asked, inner.tokens = nil, nil
			o := collect(t, call)
			if len(asked) != 1 || asked[0] != id {
				t.Errorf("%s, %s: the source was asked for %v", name, op, asked)
			}
			if c.want.Kind == nil {
				if o.err != nil || fmt.Sprint(inner.tokens) != fmt.Sprint([]string{c.token}) {
					t.Errorf("%s, %s: %v, shown %q", name, op, o.err, inner.tokens)
				}
			} else if o.err == nil || !errors.Is(o.err, c.want.Kind) || o.err.Op != op || o.err.Code != c.want.Code || o.err.Reason != c.want.Reason || len(inner.tokens) != 0 {
				t.Errorf("%s, %s: %+v, the agent was shown %q", name, op, o.err, inner.tokens)
			}
			if o.err != nil && strings.Contains(fmt.Sprint(o.err, o.err.Cause), "X: y") {
				t.Errorf("%s: the error repeats the token", name)
			}
			if again := collect(t, call); !errors.Is(again.err, copilot.ErrRejected) || len(asked) != 1 || len(inner.tokens) > 1 {
				t.Errorf("%s, %s: iterated twice: %+v", name, op, again.err)
			}
		}
	}
	if own.Op != "token" {
		t.Error("the source's own error was changed")
	}
}

// A call that waits for its token ends with its context. Too late is the issuer's
// fault; a caller who leaves is nobody's.
func TestWaitsForTokenNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		never := tokenFunc(func(ctx context.Context, _ copilot.Identity) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		})
		inner := &shown{}
		a := copilot.WithTokens(inner, never)
		late, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if o := collect(t, a.Start(late, copilot.Start{})); !errors.Is(o.err, copilot.ErrToken) || o.err.Reason != copilot.ReasonTimeout {
			t.Errorf("too late: %+v", o.err)
		}
		left, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		if o := collect(t, a.Start(left, copilot.Start{})); !errors.Is(o.err, copilot.ErrInterrupted) {
			t.Errorf("left: %+v", o.err)
		}
		if len(inner.tokens) != 0 {
			t.Error("asked without a token")
		}
	})
}

// rejecting is a TokenSource that keeps what it hears of.
type rejecting struct {
	copilot.StaticToken
	rejected []string
}

func (r *rejecting) Reject(id copilot.Identity, token string) {
	r.rejected = append(r.rejected, id.User+" "+token)
}

// A source hears of a token that the agent would not take, and of no other
// refusal.
func TestRejectedTokens(t *testing.T) {
	for status, want := range map[int]string{200: "[]", 401: "[u old]", 403: "[]", 500: "[]"} {
		web := httptest.NewServer(&answer{status: status, body: end})
		t.Cleanup(web.Close)
		src := &rejecting{StaticToken: "old"}
		a := copilot.WithTokens(unsigned(t, web.URL, nil), src)
		o := collect(t, a.Turn(t.Context(), copilot.Turn{Identity: copilot.Identity{User: "u"}, ConversationID: "c"}))
		if got := fmt.Sprint(src.rejected); got != want {
			t.Errorf("%d: rejected %s, want %s", status, got, want)
		}
		if o.err != nil && errors.Is(o.err, copilot.ErrToken) {
			t.Errorf("%d of the agent is blamed on the issuer", status)
		}
	}
}
