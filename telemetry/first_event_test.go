package telemetry_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"parley/server/copilot"
)

// step is a part of an answer and when it comes, after the one before.
type step struct {
	after time.Duration
	text  string
}

// wire is an agent's server: its headers come after a while, and then the steps. With
// hangs nothing comes any more, and what the connection reports when it is given up it
// reports late.
type wire struct {
	status  int
	headers time.Duration
	steps   []step
	hangs   bool
	late    time.Duration
}

// RoundTrip implements http.RoundTripper.
func (w wire) RoundTrip(req *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, req.Body)
	ctx := req.Context()
	if err := pass(ctx, w.headers); err != nil {
		time.Sleep(w.late)
		return nil, err
	}
	from, to := io.Pipe()
	go func() {
		for _, s := range w.steps {
			if err := pass(ctx, s.after); err != nil {
				time.Sleep(w.late)
				_ = to.CloseWithError(err)
				return
			}
			_, _ = io.WriteString(to, s.text)
		}
		if w.hangs {
			<-ctx.Done()
			time.Sleep(w.late)
			_ = to.CloseWithError(ctx.Err())
			return
		}
		_ = to.Close()
	}()
	h := http.Header{"Content-Type": {"text/event-stream"}, "X-Ms-Conversationid": {"c-1"}}
	return &http.Response{StatusCode: w.status, Header: h, Body: from}, nil
}

// pass waits.
func pass(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// asked asks an agent on that wire for a turn, and gives the spans of the call and of
// its one request.
func (l *lab) asked(ctx context.Context, t *testing.T, w wire, limits copilot.Timeouts) (call, attempt sdktrace.ReadOnlySpan) {
	t.Helper()
	if w.status == 0 {
		w.status = http.StatusOK
	}
	client, err := copilot.NewClient(copilot.Options{
		Endpoint: copilot.Endpoint{DirectConnectURL: "https://agent.example/x"}, Transport: l.Transport(w), Timeouts: limits,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range l.Agent(client, "https://agent.example/x").Turn(ctx, copilot.Turn{ConversationID: "c-1", Text: "hello"}) {
		if err != nil {
			break
		}
	}
	spans := l.spans.Ended()
	if len(spans) != 2 {
		t.Fatalf("%d spans", len(spans))
	}
	return spans[1], spans[0]
}

func activity(members string) string { return "event: activity\ndata: {" + members + "}\n\n" }

// The first event is the first thing of the answer that its user waits for. What says
// no more than that the agent is there is none: headers, comments, the signs of typing,
// what the agent does meanwhile, and the echo of what the user said.
func TestFirstEvent(t *testing.T) {
	const (
		ended   = "event: end\ndata: end\n\n"
		headers = 200 * time.Millisecond
		wait    = 2 * time.Second
	)
	message := activity(`"type":"message","from":{"role":"bot"},"text":"So"`)
	piece := activity(`"type":"typing","from":{"role":"bot"},"text":"S","entities":[{"type":"streaminfo","streamId":"s","streamType":"streaming","streamSequence":1}]`)
	for name, c := range map[string]struct {
		wire    wire
		none    bool // no first event
		reached bool // headers of an answer came
		events  int64
	}{
		"a message":                   {wire{headers: headers, steps: []step{{wait, message}, {wait, message + ended}}}, false, true, 2},
		"a piece of text":             {wire{headers: headers, steps: []step{{wait, piece}, {wait, activity(`"type":"message","from":{"role":"bot"},"text":"So","entities":[{"type":"streaminfo","streamId":"s","streamType":"final"}]`) + ended}}}, false, true, 2},
		"a card":                      {wire{headers: headers, steps: []step{{wait, activity(`"type":"message","attachments":[{"contentType":"application/vnd.microsoft.card.adaptive","content":{"type":"AdaptiveCard"}}]`) + ended}}}, false, true, 1},
		"data alone":                  {wire{headers: headers, steps: []step{{wait, activity(`"type":"message","value":{"a":1}`) + ended}}}, false, true, 1},
		"the end of the conversation": {wire{headers: headers, steps: []step{{wait, activity(`"type":"endOfConversation"`) + ended}}}, false, true, 1},
		"comments":                    {wire{headers: headers, steps: []step{{wait / 2, ": still here\n\n"}, {wait / 2, message + ended}}}, false, true, 1},
		"typing":                      {wire{headers: headers, steps: []step{{wait / 2, activity(`"type":"typing","from":{"role":"bot"}`)}, {wait / 2, message + ended}}}, false, true, 1},
		"what it is doing":            {wire{headers: headers, steps: []step{{wait / 2, activity(`"type":"typing","text":"Searching","entities":[{"type":"streaminfo","streamType":"informative","streamSequence":1}]`) + activity(`"type":"event","name":"plan"`) + activity(`"type":"trace"`)}, {wait / 2, message + ended}}}, false, true, 1},
		"an echo of the user":         {wire{headers: headers, steps: []step{{wait / 2, activity(`"type":"message","from":{"role":"user"},"text":"hello"`)}, {wait / 2, message + ended}}}, false, true, 1},
		"nothing but headers":         {wire{headers: headers, hangs: true}, true, true, 0},
		"nothing but typing":          {wire{headers: headers, steps: []step{{wait, activity(`"type":"typing"`) + ended}}}, true, true, 0},
		"an empty answer":             {wire{headers: headers, steps: []step{{wait, ended}}}, true, true, 0},
		"an answer without one":       {wire{headers: headers, status: http.StatusNoContent}, true, true, 0},
		"no headers":                  {wire{headers: time.Hour}, true, false, 0},
		"a refusal":                   {wire{headers: headers, status: http.StatusInternalServerError}, true, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				call, _ := l.asked(ctx, t, c.wire, copilot.Timeouts{})
				wanted := map[bool]uint64{true: 1}
				if n := l.measured(t, "parley.agent.time_to_first_event"); n != wanted[!c.none] {
					t.Errorf("%d times measured", n)
				}
				n, heads := l.total(t, "parley.agent.time_to_headers")
				if n != wanted[c.reached] {
					t.Errorf("%d times the headers", n)
				}
				first, at := attr(call, "gen_ai.response.time_to_first_chunk").AsFloat64(), time.Duration(0)
				for _, e := range call.Events() {
					if e.Name == "stream.first_event" {
						at = e.Time.Sub(call.StartTime())
					}
				}
				want, reached := headers+wait, headers
				if c.none {
					want = 0
				}
				if !c.reached {
					reached = 0
				}
				if first != want.Seconds() || at != want || heads != reached.Seconds() {
					t.Errorf("first event after %v and at %v, want %v; headers after %v", first, at, want, heads)
				}
				if n := attr(call, "parley.stream.events").AsInt64(); n != c.events {
					t.Errorf("%d events", n)
				}
			})
		})
	}
}

// Whoever's limit ends a request that hears nothing, and however late that is seen: the
// request failed, and its span has the same class each time. What this service ends for
// another reason is no failure of the agent.
func TestWhoEndedTheRequest(t *testing.T) {
	const limit = time.Second
	silent, mute := wire{hangs: true}, wire{headers: time.Hour}
	whole := wire{steps: []step{{limit - 10*time.Millisecond, activity(`"type":"message","text":"So"`) + "event: end\ndata: end\n\n"}}, hangs: true}
	begun := wire{steps: []step{{0, activity(`"type":"message","text":"So"`)}}, hangs: true}
	for name, c := range map[string]struct {
		wire     wire
		first    time.Duration // the client's limit for the first event
		idle     time.Duration
		deadline time.Duration // of the caller
		leaves   time.Duration // when the caller no longer wants the answer
		late     time.Duration // how late the end is seen
		failed   bool
	}{
		"the caller's limit":                        {wire: silent, first: copilot.NoLimit, deadline: limit, failed: true},
		"the caller's, without headers":             {wire: mute, first: copilot.NoLimit, deadline: limit, failed: true},
		"the client's":                              {wire: silent, first: limit, deadline: 10 * limit, failed: true},
		"the client's, without headers":             {wire: mute, first: limit, deadline: 10 * limit, failed: true},
		"the client's between two events":           {wire: begun, first: limit, idle: limit, deadline: 10 * limit, failed: true},
		"both at once":                              {wire: silent, first: limit, deadline: limit, failed: true},
		"both at once, without headers":             {wire: mute, first: limit, deadline: limit, failed: true},
		"both at once between two events":           {wire: begun, first: limit, idle: limit, deadline: limit, failed: true},
		"the client's, and then the caller's":       {wire: silent, first: limit, deadline: limit + 1, late: limit, failed: true},
		"the caller's, and then the client's":       {wire: silent, first: limit + 1, deadline: limit, late: limit, failed: true},
		"the client's, and then the caller leaves":  {wire: silent, first: limit, deadline: 10 * limit, leaves: limit + 1, late: limit, failed: true},
		"the caller's, after the end of the answer": {wire: whole, first: copilot.NoLimit, deadline: limit},
		"the caller leaves":                         {wire: silent, first: 5 * limit, deadline: 10 * limit, leaves: limit},
		"the caller leaves, and then comes a limit": {wire: silent, first: limit + 1, deadline: limit + 2, leaves: limit, late: limit},
	} {
		t.Run(name, func(t *testing.T) {
			for range 20 { // of two timers that are due at once, either may be the first
				synctest.Test(t, func(t *testing.T) {
					l := newLab(t)
					ctx, leave := context.WithCancelCause(t.Context())
					defer leave(nil)
					ctx, cancel := context.WithTimeout(ctx, c.deadline)
					defer cancel()
					if c.leaves > 0 {
						defer time.AfterFunc(c.leaves, func() { leave(errLeft) }).Stop()
					}
					c.wire.late = c.late
					_, attempt := l.asked(ctx, t, c.wire, copilot.Timeouts{FirstEvent: c.first, Idle: c.idle})
					class, status := "", codes.Unset
					if c.failed {
						class, status = "upstream_timeout", codes.Error
					}
					if got := attr(attempt, "error.type").AsString(); got != class || attempt.Status().Code != status {
						t.Errorf("class %q, status %v", got, attempt.Status().Code)
					}
				})
			}
		})
	}
}

// A refusal is told by its status, also when its body never comes to an end.
func TestRefusalWithoutAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, attempt := l.asked(ctx, t, wire{status: http.StatusBadGateway, steps: []step{{0, strings.Repeat("x", 100)}}, hangs: true}, copilot.Timeouts{})
		if got := attr(attempt, "error.type").AsString(); got != "502" || attempt.Status().Code != codes.Error {
			t.Errorf("class %q, status %v", got, attempt.Status().Code)
		}
	})
}
