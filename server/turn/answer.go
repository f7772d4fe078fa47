package turn

import (
	"bytes"
	"encoding/json"
	"fmt"

	"parley/store"
)

// maxExtra bounds Outcome.Extra, in bytes (package store).
const maxExtra = 64 << 10

// Answer is the outcome of a turn, fresh or stored.
type Answer struct {
	Conversation string
	Messages     []store.Message // the agent's, of the turn that was asked for; never nil
	State        WorkflowState
	LatencyMs    int64          // how long the agent took
	Restarted    bool           // the agent had forgotten what was said before
	Replayed     bool           // the stored answer of an earlier request
	Stopped      bool           // the user stopped the turn before its end
	Data         *store.Payload // what came without any message to go with; nil if nothing did
}

// Payload is the first data that the agent gave with a message, else what it gave
// without one; nil if it gave none.
func (a *Answer) Payload() *store.Payload {
	for _, m := range a.Messages {
		if m.ExtractedPayload != nil {
			return m.ExtractedPayload
		}
	}
	return a.Data
}

// extra is what an answer has beside its messages. It is stored with them, so that
// a replay equals the first answer.
type extra struct {
	State     *WorkflowState `json:"workflowState,omitempty"` // nil while nobody has said anything of a workflow
	LatencyMs int64          `json:"latencyMs"`
	Restarted bool           `json:"conversationRestarted,omitempty"`
	Stopped   bool           `json:"stopped,omitempty"`
	Data      *store.Payload `json:"extractedPayload,omitempty"`
}

// completion makes what is stored of a reply, and the rest of the answer.
func (re *reply) completion(req *Request, user []store.Message, held *store.Turn) (*store.Completion, extra) {
	c := &store.Completion{UpstreamID: re.upstreamID, Ended: re.ended}
	number := turnNumber(req, held)
	if req.Kind.starts() {
		c.Messages = re.greeting
	}
	if req.Kind == KindOrchestrate {
		// Greeting, question and answer are stored in one completion.
		c.Turns = number
		for _, m := range user {
			m.Turn = number
			c.Messages = append(c.Messages, m)
		}
	}
	if req.Kind.talks() {
		c.Messages = append(c.Messages, re.messages...)
	}
	c.Workflow = re.position.changes()
	ex := extra{LatencyMs: re.millis, Restarted: re.restarted, Stopped: re.stopped, Data: re.payload, State: re.state(req, number, agentErrorIn(c.Messages) != "")}
	// The store decides whether it is kept: a repeat without a key may finish the turn
	// of a request that had one.
	c.Extra = ex.encode()
	return c, ex
}

// state is the state of the workflow after the turn, nil if answerOf makes the same
// of nothing: most conversations have no workflow, and store nothing for it.
func (re *reply) state(req *Request, number int, failed bool) *WorkflowState {
	p := &re.position
	s := WorkflowState{Step: p.step, TurnCount: number, Status: string(store.StatusActive)}
	switch {
	case failed:
		s.Status = stateError
	case re.ended, p.step == stepComplete:
		s.Status = string(store.StatusCompleted)
	}
	if p.merged || req.Workflow == nil || req.Workflow.CollectedData == nil {
		s.CollectedData = p.data // else a replay takes it from the request
	}
	if s.Step == "" && len(s.CollectedData) == 0 && s.Status == string(store.StatusActive) {
		return nil
	}
	kept := s // so that only this is allocated
	return &kept
}

// encode is the stored form. It has no collected data: a replay takes that from the
// request, or from the conversation, where it is kept once for all turns. Data that
// is too large is left out of later replays.
func (ex extra) encode() json.RawMessage {
	if ex.State != nil {
		state := *ex.State
		state.CollectedData = nil
		ex.State = &state
	}
	b, err := EncodeJSON(ex)
	if (err != nil || len(b) > maxExtra) && ex.Data != nil {
		ex.Data = nil
		b, err = EncodeJSON(ex)
	}
	if err != nil {
		return nil // cannot happen: no raw JSON is left in it
	}
	return b
}

// replay makes the answer of a turn that had completed before.
func replay(req *Request, held *store.Turn) (Answer, error) {
	var ex extra
	if len(held.Replay.Extra) > 0 {
		if err := json.Unmarshal(held.Replay.Extra, &ex); err != nil {
			return Answer{}, fmt.Errorf("decode stored answer: %w", &store.Error{Op: "BeginTurn", Kind: store.ErrCorrupt, Cause: err})
		}
	}
	if ex.State != nil && len(ex.State.CollectedData) == 0 { // the first edition stored it with the answer
		ex.State.CollectedData = held.Replay.StepData
	}
	a := answerOf(req, held, held.Replay.Messages, ex)
	a.Replayed = true
	return a, nil
}

// answerOf makes the caller's answer from what was stored.
func answerOf(req *Request, held *store.Turn, stored []store.Message, ex extra) Answer {
	a := Answer{Conversation: req.Conversation, Messages: []store.Message{}, LatencyMs: ex.LatencyMs, Restarted: ex.Restarted, Stopped: ex.Stopped, Data: ex.Data}
	for _, m := range stored {
		greeting := req.Kind == KindOrchestrate && m.Turn == 0
		if m.Role == store.RoleAssistant && !greeting {
			a.Messages = append(a.Messages, m)
		}
	}
	a.State = WorkflowState{TurnCount: turnNumber(req, held), Status: string(store.StatusActive)}
	if ex.State != nil {
		a.State = *ex.State
	}
	a.State.fill(req.Workflow)
	if found := a.Payload(); found != nil {
		a.State.LastRecommendation = string(found.Data)
	}
	return a
}

// EncodeJSON writes v as one line of JSON with a line break at its end. It does not
// escape HTML characters as package json does; nothing here is put into a page.
func EncodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
