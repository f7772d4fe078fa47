package server

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"

	"parley/server/copilot"
	"parley/store"
)

// maxExtra is what a store keeps beside an answer.
const maxExtra = 64 << 10

// reply is all that the agent did in a turn.
type reply struct {
	greeting   []copilot.Message
	messages   []copilot.Message
	upstreamID string
	restarted  bool // the agent has forgotten what was said before
	ended      bool
	millis     int64
}

// extra is what an answer has beside its messages. It is stored with them, so
// that a replay says what the first answer said.
type extra struct {
	State     *workflowState `json:"workflowState,omitempty"`
	LatencyMs int64          `json:"latencyMs"`
	Restarted bool           `json:"conversationRestarted,omitempty"`
}

// converse opens the upstream conversation where there is none yet and says
// what there is to say. Records of the predecessor have no upstream
// conversation: the agent begins one in silence, without what was said before.
func (t *turns) converse(ctx context.Context, in input, held store.Turn) (reply, error) {
	re := reply{upstreamID: held.UpstreamID}
	began := t.now()
	if in.start || re.upstreamID == "" {
		var err error
		re.greeting, err = re.collect(t.agent.Start(ctx, copilot.Start{Identity: in.identity, Silent: !in.start}))
		if err != nil {
			return reply{}, err
		}
		if re.upstreamID == "" {
			return reply{}, &copilot.Error{Op: "start", Kind: copilot.ErrProtocol}
		}
		re.restarted = !in.start
	}
	if in.talk {
		var err error
		re.messages, err = re.collect(t.agent.Turn(ctx, copilot.Turn{
			Identity: in.identity, ConversationID: re.upstreamID, Text: in.text, Value: in.value,
		}))
		if err != nil {
			return reply{}, err
		}
	}
	re.millis = t.now().Sub(began).Milliseconds()
	return re, nil
}

// collect takes in one call of the agent and returns its messages.
func (re *reply) collect(events iter.Seq2[copilot.Event, error]) ([]copilot.Message, error) {
	var messages []copilot.Message
	for e, err := range events {
		if err != nil {
			return nil, err
		}
		switch e.Kind {
		case copilot.EventConversation:
			if e.ConversationID != "" {
				re.upstreamID = e.ConversationID
			}
			re.restarted = re.restarted || e.Restarted
		case copilot.EventMessage:
			messages = append(messages, e.Message)
		case copilot.EventEnded:
			re.ended = true
		case copilot.EventDelta: // progress of a message that comes whole later
		}
	}
	return messages, nil
}

// completion is what gets stored of a reply, and what is answered beside it.
func (t *turns) completion(in input, held store.Turn, re reply) (store.Completion, extra) {
	c := store.Completion{UpstreamID: re.upstreamID, Ended: re.ended}
	number := held.Number
	if in.start {
		c.Messages = t.messages(re.greeting, 0)
	}
	if in.start && in.talk {
		// Greeting, question and answer in one go.
		number, c.Turns = 1, 1
		for _, m := range in.said {
			m.Turn = number
			c.Messages = append(c.Messages, m)
		}
	}
	if in.talk {
		c.Messages = append(c.Messages, t.messages(re.messages, number)...)
	}
	ex := extra{LatencyMs: re.millis, Restarted: re.restarted, State: stateOf(in, held, number)}
	if ex.State != nil {
		switch {
		case agentErrorIn(c.Messages) != "":
			ex.State.Status = "error"
		case re.ended:
			ex.State.Status = string(store.StatusCompleted)
		}
	}
	// Whether a key wants it is the store's to know: a repeat without one may be
	// finishing the turn of a request that had one.
	c.Extra = ex.encode()
	return c, ex
}

// stateOf is the state of the workflow: told whenever the caller speaks of one
// or the conversation remembers one.
func stateOf(in input, held store.Turn, number int) *workflowState {
	onceAndForAll := in.start && in.talk
	if in.workflow == nil && held.Workflow.CurrentStep == "" && !onceAndForAll {
		return nil
	}
	s := &workflowState{Step: held.Workflow.CurrentStep, TurnCount: number, Status: string(store.StatusActive)}
	if in.workflow != nil {
		s.Step = in.workflow.Step
	}
	if in.workflow == nil || in.workflow.CollectedData == nil {
		s.CollectedData = held.Workflow.StepData
	}
	return s
}

// encode is the stored form. Remembered data that is too large for it is left
// out of later replays; what the caller sends with the request never is, since
// a replay takes it from there.
func (ex extra) encode() json.RawMessage {
	b, err := encode(ex)
	if (err != nil || len(b) > maxExtra) && ex.State != nil {
		state := *ex.State
		state.CollectedData = nil
		ex.State = &state
		b, err = encode(ex)
	}
	if err != nil {
		return nil // cannot happen: no raw JSON is left in it
	}
	return b
}

// replay is the answer of the turn that had completed before.
func replay(in input, o store.Outcome) (answer, error) {
	var ex extra
	if len(o.Extra) > 0 {
		if err := json.Unmarshal(o.Extra, &ex); err != nil {
			return answer{}, fmt.Errorf("decode stored answer: %w", &store.Error{Op: "BeginTurn", Kind: store.ErrCorrupt, Cause: err})
		}
	}
	a := answerOf(in, o.Messages, ex)
	a.replayed = true
	return a, nil
}

// answerOf is what the caller gets of what was stored.
func answerOf(in input, stored []store.Message, ex extra) answer {
	a := answer{id: in.id, messages: []store.Message{}, extra: ex}
	for _, m := range stored {
		greeting := in.start && in.talk && m.Turn == 0
		if m.Role == store.RoleAssistant && !greeting {
			a.messages = append(a.messages, m)
		}
	}
	if s := a.extra.State; s != nil {
		state := *s
		if in.workflow != nil && in.workflow.CollectedData != nil {
			state.CollectedData = in.workflow.CollectedData
		}
		if found := newestPayload(a.messages); found != nil {
			state.LastRecommendation = found.Data
		}
		a.extra.State = &state
	}
	return a
}
