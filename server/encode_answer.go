package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"parley/server/turn"
	"parley/store"
)

// What follows writes the answers of turns, as encode.go does what is read of the store.

// answerSize is about how many bytes an answer takes beside its messages and its JSON.
const answerSize = 256

// encodeAnswer gives the body of start, send and card-action.
func encodeAnswer(a turn.Answer) ([]byte, error) {
	if err := onOneLine(&a); err != nil {
		return nil, err
	}
	b := appendAnswered(a)
	if a.Data != nil { // it came without a message
		b = appendPayload(append(b, `,"extractedPayload":`...), a.Data)
	}
	b = appendState(b, &a)
	if a.Stopped { // by the user, before the agent had ended
		b = append(b, `,"stopped":true`...)
	}
	return append(b, "}\n"...), nil
}

// encodeOrchestration gives the body of orchestrate.
func encodeOrchestration(a turn.Answer) ([]byte, error) {
	if err := onOneLine(&a); err != nil {
		return nil, err
	}
	b := append(appendAnswered(a), `,"extractedPayload":`...)
	if p := a.Payload(); p != nil {
		b = appendPayload(b, p)
	} else {
		b = append(b, "null"...)
	}
	b = strconv.AppendInt(append(b, `,"latencyMs":`...), a.LatencyMs, 10)
	return append(appendState(b, &a), "}\n"...), nil
}

// appendAnswered begins a body with the conversation and the agent's messages, and leaves
// the object open.
func appendAnswered(a turn.Answer) []byte {
	size := answerSize + len(a.State.CollectedData) + len(a.State.LastRecommendation)
	for i := range a.Messages {
		size += messageSize + len(a.Messages[i].Text) + len(a.Messages[i].CardJSON)
	}
	b := append(make([]byte, 0, size), `{"conversationId":`...)
	b = append(appendText(b, a.Conversation), `,"messages":[`...)
	for i := range a.Messages {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendMessage(b, &a.Messages[i])
	}
	return append(b, ']')
}

// appendState appends the state of the workflow, and whether the agent had forgotten the
// conversation.
func appendState(b []byte, a *turn.Answer) []byte {
	b = appendText(append(b, `,"workflowState":{"step":`...), a.State.Step)
	b = appendRaw(b, `,"collectedData":`, a.State.CollectedData)
	b = appendSome(b, `,"lastRecommendation":`, a.State.LastRecommendation)
	b = strconv.AppendInt(append(b, `,"turnCount":`...), int64(a.State.TurnCount), 10)
	b = append(appendText(append(b, `,"status":`...), a.State.Status), '}')
	if a.Restarted {
		b = append(b, `,"conversationRestarted":true`...)
	}
	return b
}

// onOneLine checks the JSON in an answer and puts it on one line: an agent may have spread
// it over many, which would break a stream's event. Requests that asked for the same turn
// share what the answer points to, so that is copied where it changes.
func onOneLine(a *turn.Answer) error {
	err := compactJSON(&a.State.CollectedData)
	if err == nil {
		err = compactPayload(&a.Data)
	}
	shared := true
	for i := 0; i < len(a.Messages) && err == nil; i++ {
		if len(a.Messages[i].CardJSON) == 0 && a.Messages[i].ExtractedPayload == nil {
			continue
		}
		if shared {
			a.Messages, shared = slices.Clone(a.Messages), false
		}
		if err = compactJSON(&a.Messages[i].CardJSON); err == nil {
			err = compactPayload(&a.Messages[i].ExtractedPayload)
		}
	}
	return err
}

func compactPayload(p **store.Payload) error {
	if *p == nil {
		return nil
	}
	compact := **p
	err := compactJSON(&compact.Data)
	*p = &compact
	return err
}

func compactJSON(raw *json.RawMessage) error {
	if len(*raw) == 0 {
		return nil
	}
	b := bytes.NewBuffer(make([]byte, 0, len(*raw)))
	if err := json.Compact(b, *raw); err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	*raw = b.Bytes()
	return nil
}
