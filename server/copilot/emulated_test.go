package copilot_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/server/copilot"
	"parley/server/copilot/emulator"
)

type want struct {
	say    string
	events []string
	kind   error
	status int
	code   string
	after  time.Duration
	waits  bool // until a timeout: needs a clock that can be moved
}

func wants() []want {
	const (
		cv    = "conversation"
		delta = "delta "
		whole = "A renewal takes eleven days."
	)
	streamed := []string{cv, delta + "A", delta + "A renewal", delta + "A renewal takes", delta + "A renewal takes eleven", delta + whole}
	with := func(s string) []string { return append(slices.Clone(streamed), s) }
	return []want{
		{say: "hello", events: []string{cv, "message You said (turn 1): hello"}},
		{say: "[X]\n{\"a\":\"/card\"}\n[/X]\n\nhello", events: []string{cv, "message You said (turn 1): [X]\n{\"a\":\"/card\"}\n[/X]\n\nhello"}},
		{say: "[X]\nstep\n[/X]\n\n/two", events: []string{cv, "message First of turn 1.", "message Second of turn 1."}},
		{say: "/card", events: []string{cv, "message "}},
		{say: "/data", events: []string{cv, "message "}},
		{say: "/sign-in", events: []string{cv, "message "}},
		{say: "/stream-cut a 😀 b", events: []string{cv, delta + "a", delta + "a ", delta + "a 😀", delta + "a 😀 ", delta + "a 😀 b", "message a 😀 b (streamed) (incomplete)"}},
		{say: "/two", events: []string{cv, "message First of turn 1.", "message Second of turn 1."}},
		{say: "/payload value", events: []string{cv, "message I recommend the standing desk."}},
		{say: "/payload entities", events: []string{cv, "message I recommend the standing desk."}},
		{say: "/error OpenAIHate", events: []string{cv, "*"}},
		{say: "/end", events: []string{cv, "message Goodbye.", "ended"}},
		{say: "/empty", events: []string{cv}},
		{say: "/restart", events: []string{"restarted", "message Have we met? (turn 1)"}},
		{say: "/noise", events: []string{cv, "message echo of the user (user)", "message That was noisy (turn 1)."}},
		{say: "/slow 10ms", events: []string{cv, "message Sorry for the wait (turn 1)."}},
		{say: "/heartbeat 1ms 2", events: []string{cv, "message Still here (turn 1)."}},
		{say: "/json", events: []string{cv, "message In one piece (turn 1)."}},
		{say: "/stream", events: with("message " + whole + " (streamed)")},
		{say: "/stream-cumulative", events: with("message " + whole + " (streamed)")},
		{say: "/stream-no-final", events: with("message " + whole + " (streamed) (incomplete)")},
		{say: "/stream-shuffled a b c", events: []string{cv, delta + "a", delta + "a c", delta + "a b c", "message a b c (streamed)"}},
		{say: "/cut", events: []string{cv, "message There is more to say (turn 1)"}, kind: copilot.ErrInterrupted, status: 200},
		{say: "/mid-cut", events: []string{cv}, kind: copilot.ErrInterrupted, status: 200},
		{say: "/hang-up", kind: copilot.ErrInterrupted},
		{say: "/no-end", events: []string{cv, "message That is all (turn 1)."}, kind: copilot.ErrInterrupted, status: 200},
		{say: "/silent", events: []string{cv}, kind: copilot.ErrTimeout, status: 200, waits: true},
		{say: "/stall", events: []string{cv, "message One moment please."}, kind: copilot.ErrTimeout, status: 200, waits: true},
		{say: "/nothing", kind: copilot.ErrTimeout, waits: true},
		{say: "/slow 1h", events: []string{cv}, kind: copilot.ErrTimeout, status: 200, waits: true},
		{say: "/endless", events: []string{cv, "message Message 1", "*"}, kind: copilot.ErrProtocol, status: 200},
		{say: "/oversize", events: []string{cv}, kind: copilot.ErrProtocol, status: 200},
		{say: "/oversize 600000", events: []string{cv, "*"}},
		{say: "/garbage", events: []string{cv}, kind: copilot.ErrProtocol, status: 200},
		{say: "/garbage-one", events: []string{cv, "message Before.", "message After."}},
		{say: "/html", kind: copilot.ErrProtocol, status: 200},
		{say: "/no-type", events: []string{cv}, kind: copilot.ErrProtocol, status: 200},
		{say: "/no-id", events: []string{cv, "message Who am I? (turn 1)"}},
		{say: "/bad-id", kind: copilot.ErrProtocol, status: 200},
		{say: "/error-event Throttled", events: []string{cv, "message So far so good."}, kind: copilot.ErrServer, status: 200, code: "Throttled"},
		{say: "/done", events: []string{cv, "message Done (turn 1)."}},
		{say: "/odd", events: []string{cv, "message Odd but right (turn 1)."}},
		{say: "/status 204", events: []string{cv}},
		{say: "/status 201", kind: copilot.ErrProtocol, status: 201, code: "Emulated"},
		{say: "/status 302", kind: copilot.ErrProtocol, status: 302, code: "Emulated"},
		{say: "/status 400", kind: copilot.ErrRejected, status: 400, code: "Emulated"},
		{say: "/status 404", kind: copilot.ErrRejected, status: 404, code: "Emulated"},
		{say: "/status 408", kind: copilot.ErrRejected, status: 408, code: "Emulated"},
		{say: "/status 500", kind: copilot.ErrServer, status: 500, code: "Emulated"},
		{say: "/status 503", kind: copilot.ErrServer, status: 503, code: "Emulated"},
		{say: "/401", kind: copilot.ErrRejected, status: 401},
		{say: "/403", kind: copilot.ErrRejected, status: 403, code: "Forbidden"},
		{say: "/429", kind: copilot.ErrThrottled, status: 429, code: "TooManyRequests"},
		{say: "/429 30", kind: copilot.ErrThrottled, status: 429, code: "TooManyRequests", after: 30 * time.Second},
		{say: "/429 7000", kind: copilot.ErrThrottled, status: 429, code: "TooManyRequests", after: time.Minute},
		{say: "/429 soon", kind: copilot.ErrThrottled, status: 429, code: "TooManyRequests"},
		{say: "/redirect", kind: copilot.ErrProtocol, status: 307},
		{say: "/huge-error", kind: copilot.ErrServer, status: 500},
	}
}

// TestEveryCommand drives the client against each thing that the emulator can
// do: the exact events, the exact kind of failure, and one request each.
func TestEveryCommand(t *testing.T) {
	overBoth(t, func(t *testing.T, to, piped connect) {
		shared := emulator.New(emulator.Options{Token: token})
		client := to(t, shared, func(o *copilot.Options) { o.Limits.Events = 5000 })
		for _, tt := range wants() {
			t.Run(tt.say, func(t *testing.T) {
				if !tt.waits {
					tt.check(t, shared, client)
					return
				}
				synctest.Test(t, func(t *testing.T) {
					emu := emulator.New(emulator.Options{Token: token})
					tt.check(t, emu, piped(t, emu, nil))
				})
			})
		}
	})
}

func (w want) check(t *testing.T, emu *emulator.Emulator, c copilot.Agent) {
	id := open(t, c)
	before := sent(emu, emulator.KindTurn)
	got := collect(t, c.Turn(t.Context(), turn(id, w.say)))
	if n := sent(emu, emulator.KindTurn) - before; n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	events := got.events
	if n := len(w.events); n > 0 && w.events[n-1] == "*" && len(events) >= n {
		events, w.events = events[:n-1], w.events[:n-1]
	}
	if !slices.Equal(events, w.events) {
		t.Errorf("events = %q, want %q", events, w.events)
	}
	if w.kind == nil {
		if got.err != nil {
			t.Errorf("error = %v (%v), want none", got.err, got.err.Cause)
		}
		return
	}
	e := got.err
	if e == nil || !errors.Is(e, w.kind) || e.Op != "turn" || e.Status != w.status || e.Code != w.code || e.RetryAfter != w.after {
		t.Fatalf("error = %+v, want %v, status %d, code %q, after %v", e, w.kind, w.status, w.code, w.after)
	}
	if said := fmt.Sprintf("%v %v", e, e.Cause); strings.Contains(said, token) || strings.Contains(said, w.say) {
		t.Errorf("error tells too much: %s", said)
	}
}

func TestEveryCommandIsTested(t *testing.T) {
	overBoth(t, func(t *testing.T, to, _ connect) {
		c := to(t, emulator.New(emulator.Options{}), nil)
		help := collect(t, c.Turn(t.Context(), turn(open(t, c), "/help"))).last.Text
		listed := regexp.MustCompile("(?m)^- `(/[a-z0-9-]+)").FindAllStringSubmatch(help, -1)
		if len(listed) < 30 {
			t.Fatalf("help lists %d commands:\n%s", len(listed), help)
		}
		for _, m := range listed {
			if m[1] != "/help" && !slices.ContainsFunc(wants(), func(w want) bool { return strings.Fields(w.say)[0] == m[1] }) {
				t.Errorf("%s has no test", m[1])
			}
		}
	})
}

func TestStart(t *testing.T) {
	overBoth(t, func(t *testing.T, to, _ connect) {
		emu := emulator.New(emulator.Options{Greeting: "Hello!"})
		c := to(t, emu, nil)
		got := collect(t, c.Start(t.Context(), copilot.Start{}))
		if got.err != nil || !slices.Equal(got.events, []string{"conversation", "message Hello!"}) {
			t.Errorf("start: %+v", got)
		}
		if got := collect(t, c.Start(t.Context(), copilot.Start{Silent: true})); got.err != nil || len(got.events) != 1 {
			t.Errorf("silent start: %+v", got)
		}
		if r := emu.Requests(); r[0].Silent || !r[1].Silent {
			t.Errorf("requests = %+v", r)
		}
		for _, tt := range []struct {
			say    string
			kind   error
			events int
		}{
			{"/status 500", copilot.ErrServer, 0},
			{"/401", copilot.ErrRejected, 0},
			{"/429 30", copilot.ErrThrottled, 0},
			{"/cut", copilot.ErrInterrupted, 2},
			{"/hang-up", copilot.ErrInterrupted, 0},
			{"/html", copilot.ErrProtocol, 0},
			{"/garbage", copilot.ErrProtocol, 1},
			{"/bad-id", copilot.ErrProtocol, 0},
			{"/status 204", copilot.ErrProtocol, 0},
		} {
			before := sent(emu, emulator.KindStart)
			emu.Next(emulator.KindStart, tt.say)
			got := collect(t, c.Start(t.Context(), copilot.Start{}))
			if got.err == nil || !errors.Is(got.err, tt.kind) || got.err.Op != "start" || len(got.events) != tt.events {
				t.Errorf("%s: %+v %v, want %v", tt.say, got, got.err, tt.kind)
			}
			if n := sent(emu, emulator.KindStart) - before; n != 1 {
				t.Errorf("%s: %d requests, want 1", tt.say, n)
			}
		}
	})
}

func TestAnswersInDetail(t *testing.T) {
	overBoth(t, func(t *testing.T, to, _ connect) {
		emu := emulator.New(emulator.Options{})
		c := to(t, emu, nil)
		id := open(t, c)
		ask := func(say string) copilot.Message {
			t.Helper()
			o := collect(t, c.Turn(t.Context(), turn(id, say)))
			if o.err != nil {
				t.Fatal(o.err)
			}
			return o.last
		}
		if m := ask("/card"); len(m.Attachments) != 1 || m.Attachments[0].ContentType != "application/vnd.microsoft.card.adaptive" ||
			!strings.Contains(string(m.Attachments[0].Content), "Action.Submit") || m.ID == "" {
			t.Errorf("card = %+v", m)
		}
		if m := ask("/data"); !m.Empty() || string(m.Value) != `{"product":"Standing desk","quantity":2}` {
			t.Errorf("data = %+v", m)
		}
		if m := ask("/sign-in"); m.Empty() || copilot.Placeholder(m.Attachments) != "[sign-in card that cannot be shown here] Please sign in" {
			t.Errorf("sign-in = %+v", m)
		}
		if m := ask("/payload value"); string(m.Value) != `{"product":"Standing desk","quantity":2}` {
			t.Errorf("value = %s", m.Value)
		}
		if m := ask("/payload entities"); len(m.Entities) != 2 || !strings.Contains(string(m.Entities[0]), "recommendation") {
			t.Errorf("entities = %s", m.Entities)
		}
		if m := ask("/payload text"); !strings.Contains(m.Text, "```json") {
			t.Errorf("text = %s", m.Text)
		}
		if m := ask("/error OpenAIHate"); m.ErrorCode != "OpenAIHate" || m.Text == "" {
			t.Errorf("error = %+v", m)
		}
		o := collect(t, c.Turn(t.Context(), copilot.Turn{ConversationID: id, Value: []byte(`{"b":[1, 2],"a":"x"}`)}))
		if o.err != nil || o.last.Text != `You submitted (turn 8): a="x", b=[1,2]` {
			t.Errorf("submit: %+v", o)
		}
		r := emu.Requests()
		if last := r[len(r)-1]; last.Text != "" || string(last.Value) != `{"b":[1,2],"a":"x"}` || last.Turn != 8 || last.Conversation != id || !last.Authorized {
			t.Errorf("request = %+v", last)
		}
	})
}

func TestRestart(t *testing.T) {
	overBoth(t, func(t *testing.T, to, _ connect) {
		emu := emulator.New(emulator.Options{})
		c := to(t, emu, nil)
		old := open(t, c)
		emu.Forget(old)
		got := collect(t, c.Turn(t.Context(), turn(old, "hello")))
		if got.err != nil || got.id == old || got.events[0] != "restarted" {
			t.Fatalf("first turn after: %+v", got)
		}
		again := collect(t, c.Turn(t.Context(), turn(got.id, "hello")))
		if again.err != nil || again.id != got.id || !slices.Equal(again.events, []string{"conversation", "message You said (turn 2): hello"}) {
			t.Errorf("second turn after: %+v", again)
		}
		alien := collect(t, c.Turn(t.Context(), turn("not-a-guid", "hello")))
		if alien.err != nil || !slices.Equal(alien.events, []string{"conversation"}) {
			t.Errorf("id of somebody else: %+v", alien)
		}
	})
}

// TestConversationsDoNotMix runs many conversations on one client.
func TestConversationsDoNotMix(t *testing.T) {
	overBoth(t, func(t *testing.T, to, _ connect) {
		c := to(t, emulator.New(emulator.Options{}), nil)
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				id := open(t, c)
				for n := 1; n <= 4; n++ {
					say := fmt.Sprintf("conversation %d", i)
					got := collect(t, c.Turn(context.Background(), turn(id, say)))
					if want := fmt.Sprintf("You said (turn %d): %s", n, say); got.err != nil || got.id != id || got.last.Text != want {
						t.Errorf("got %+v, want %q", got, want)
					}
				}
			})
		}
		wg.Wait()
	})
}
