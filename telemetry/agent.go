package telemetry

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"parley/server/copilot"
)

// Agent decorates an agent: one span and one measurement for each call. They cover
// all HTTP requests of the call and its whole stream. Address is the URL of the
// agent; only its host and port are recorded. It is "" if unknown.
func (t *Telemetry) Agent(a copilot.Agent, address string) copilot.Agent {
	if t.off {
		return a
	}
	attrs := append([]attribute.KeyValue{
		keyGenOperation.String(genInvokeAgent), keyGenProvider.String(genProvider),
	}, serverOf(address)...)
	return &observedAgent{t: t, next: a, start: newSpanStart(genInvokeAgent, trace.SpanKindClient, attrs)}
}

// The calls of an agent.
const (
	opStart = "start"
	opTurn  = "turn"
)

type observedAgent struct {
	t     *Telemetry
	next  copilot.Agent
	start *spanStart // of every span
}

var _ copilot.Agent = (*observedAgent)(nil)

// Start implements copilot.Agent.
func (d *observedAgent) Start(ctx context.Context, s copilot.Start) iter.Seq2[copilot.Event, error] {
	return d.observe(ctx, opStart, func(ctx context.Context) iter.Seq2[copilot.Event, error] { return d.next.Start(ctx, s) })
}

// Turn implements copilot.Agent.
func (d *observedAgent) Turn(ctx context.Context, t copilot.Turn) iter.Seq2[copilot.Event, error] {
	return d.observe(ctx, opTurn, func(ctx context.Context) iter.Seq2[copilot.Event, error] { return d.next.Turn(ctx, t) })
}

// agentCall is a call in progress, and the context of its requests.
type agentCall struct {
	context.Context
	t        *Telemetry
	span     trace.Span
	op       string
	began    time.Time
	requests atomic.Int64 // HTTP requests that the call has made

	events       int     // of the answer; see metricFirstEvent
	first        float64 // seconds to the first event
	conversation string
	restarted    bool
	code         string // of a platform error inside the answer
	err          error
	cause        error // why this service ended the call, if it had when err came
	returned     bool  // false if the agent or its consumer panicked
}

type agentCallKey struct{}

// Value implements context.Context.
func (c *agentCall) Value(key any) any {
	if key == (agentCallKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// observe wraps the iterator of a call. The span ends when the stream does, on every
// path: its end, an error, a caller that stops reading, a panic.
func (d *observedAgent) observe(ctx context.Context, op string, call func(context.Context) iter.Seq2[copilot.Event, error]) iter.Seq2[copilot.Event, error] {
	return func(yield func(copilot.Event, error) bool) {
		c := &agentCall{t: d.t, op: op, began: time.Now()}
		ctx, span := d.t.start(ctx, d.start)
		c.Context, c.span = ctx, span
		d.t.asking.of(struct{}{}).Add(1)
		defer c.end(ctx)
		for e, err := range call(c) {
			c.event(ctx, e, err)
			if !yield(e, err) {
				c.refused(ctx)
				break
			}
		}
		c.returned = true
	}
}

// gotHeaders records that the headers of an answer came; c may be nil. What is no answer
// may come at once, and would hide that answers are slow.
func (c *agentCall) gotHeaders(ctx context.Context, status int) {
	if c == nil || status >= http.StatusMultipleChoices {
		return
	}
	c.t.headers.Record(ctx, time.Since(c.began).Seconds(), c.t.agentSets.of(agentSet{op: c.op}, agentSet.attributes).record...)
}

// isAnswer reports whether an event is something that the agent answers; see
// metricFirstEvent.
func isAnswer(e copilot.Event) bool {
	switch e.Kind {
	case copilot.EventDelta, copilot.EventEnded:
		return true
	case copilot.EventMessage:
		return e.Message.FromBot
	case copilot.EventConversation: // as soon as there are headers
	}
	return false
}

// count counts an event that is part of the answer.
func (c *agentCall) count(ctx context.Context) {
	if c.events++; c.events > 1 {
		return
	}
	c.first = time.Since(c.began).Seconds()
	c.span.AddEvent(eventFirst)
	c.t.firstEvent.Record(ctx, c.first, c.t.agentSets.of(agentSet{op: c.op}, agentSet.attributes).record...)
}

// event records an event of the stream, or its error.
func (c *agentCall) event(ctx context.Context, e copilot.Event, err error) {
	if err != nil {
		c.err, c.cause = err, context.Cause(ctx)
		return
	}
	if isAnswer(e) {
		c.count(ctx)
	}
	switch e.Kind {
	case copilot.EventConversation:
		c.conversation, c.restarted = e.ConversationID, e.Restarted
	case copilot.EventMessage:
		if e.Message.FromBot && e.Message.ErrorCode != "" {
			c.code = e.Message.ErrorCode
		}
	case copilot.EventDelta, copilot.EventEnded:
	}
}

// refused is called when the caller stops reading. One that did so because of the
// answer has said why in its context.
func (c *agentCall) refused(ctx context.Context) {
	if e, ok := errors.AsType[*copilot.Error](context.Cause(ctx)); ok && c.err == nil {
		c.err = e
	}
}

// end ends the span and records the measurements.
func (c *agentCall) end(ctx context.Context) {
	class := ""
	switch {
	case !c.returned:
		class = classPanic
	case c.err != nil:
		class = c.failure()
	case c.code != "":
		class = classAgentError
	}
	if c.span.IsRecording() {
		lent := c.t.lists.lend()
		list := append(lent[:0], keyAgentOperation.String(c.op), keyStreamEvents.Int(c.events))
		if c.events > 0 {
			list = append(list, keyGenFirstChunk.Float64(c.first))
		}
		list = text(list, keyGenConversation, c.conversation)
		list = text(list, keyAgentError, c.code)
		if e, ok := errors.AsType[*copilot.Error](c.err); ok {
			list = text(list, keyReason, e.Reason)
		}
		if c.restarted {
			list = append(list, keyRestarted.Bool(true))
		}
		c.span.SetAttributes(list...)
		c.t.lists.takeBack(lent)
		c.span.AddEvent(eventEnd)
		c.t.markCall(c.span, class)
	}
	errorType, outcome := c.t.callResult(class)
	c.t.agent.Record(ctx, time.Since(c.began).Seconds(), c.t.agentSets.of(agentSet{c.op, errorType, outcome}, agentSet.attributes).record...)
	c.t.asking.of(struct{}{}).Add(-1)
	c.span.End()
}

// failure returns the class of a failed call. A call that this service ended (the
// turn was lost, the process is stopping, the client left) has the class of that
// reason, because the agent did not fail.
func (c *agentCall) failure() string {
	if c.cause != nil && !errors.Is(c.cause, context.DeadlineExceeded) {
		return c.t.class(c.cause)
	}
	return c.t.class(c.err)
}

// agentSet are the attributes of a call's duration.
type agentSet struct{ op, errorType, outcome string }

func (s agentSet) attributes() []attribute.KeyValue {
	list := []attribute.KeyValue{keyAgentOperation.String(s.op)}
	return text(text(list, keyErrorType, s.errorType), keyOutcome, s.outcome)
}
