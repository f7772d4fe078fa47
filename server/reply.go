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
	greeting   []store.Message
	messages   []store.Message
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
func (t *turns) converse(ctx context.Context, in *input, held *store.Turn, f *feed) (reply, error) {
	re := reply{upstreamID: held.UpstreamID}
	began := t.now()
	if in.start || re.upstreamID == "" {
		var greeted *feed
		if !in.talk {
			greeted = f // else the greeting is no part of the answer
		}
		var err error
		re.greeting, err = t.collect(&re, t.agent.Start(ctx, copilot.Start{Identity: in.identity, Silent: !in.start}), 0, greeted)
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
		re.messages, err = t.collect(&re, t.agent.Turn(ctx, copilot.Turn{
			Identity: in.identity, ConversationID: re.upstreamID, Text: in.text, Value: in.value,
		}), numberOf(in, held), f)
		if err != nil {
			return reply{}, err
		}
	}
	re.millis = t.now().Sub(began).Milliseconds()
	return re, nil
}

// numberOf is the number of the turn in which the user says something.
func numberOf(in *input, held *store.Turn) int {
	if in.start && in.talk {
		return 1
	}
	return held.Number
}

// collect takes in one call of the agent and returns its messages. It passes
// them on to f as they come, and each text on its way under the id that its
// message will have.
func (t *turns) collect(re *reply, events iter.Seq2[copilot.Event, error], turn int, f *feed) ([]store.Message, error) {
	var messages []store.Message
	ids := map[string]string{} // of messages, by the stream that becomes them
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
			said := t.messages([]copilot.Message{e.Message}, turn)
			id := ids[e.Message.StreamID]
			if id != "" && len(said) > 0 && said[0].Kind == store.KindText {
				said[0].ID = id
			}
			messages = append(messages, said...)
			f.say(id, said)
		case copilot.EventEnded:
			re.ended = true
		case copilot.EventDelta:
			if f == nil {
				continue
			}
			if ids[e.StreamID] == "" {
				ids[e.StreamID] = t.newID()
			}
			f.write(ids[e.StreamID], e.Text)
		}
	}
	return messages, nil
}

// completion is what gets stored of a reply, and what is answered beside it.
func (t *turns) completion(in *input, held *store.Turn, re *reply) (*store.Completion, extra) {
	c := &store.Completion{UpstreamID: re.upstreamID, Ended: re.ended}
	number := numberOf(in, held)
	if in.start {
		c.Messages = re.greeting
	}
	if in.start && in.talk {
		// Greeting, question and answer in one go.
		c.Turns = number
		for _, m := range in.said {
			m.Turn = number
			c.Messages = append(c.Messages, m)
		}
	}
	if in.talk {
		c.Messages = append(c.Messages, re.messages...)
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
func stateOf(in *input, held *store.Turn, number int) *workflowState {
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
func replay(in *input, o *store.Outcome) (answer, error) {
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
func answerOf(in *input, stored []store.Message, ex extra) answer {
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
