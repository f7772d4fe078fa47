package turn

import (
	"encoding/json"
	"strings"

	"parley/store"
)

// WorkflowContext is the caller's position in its own workflow.
type WorkflowContext struct {
	Step          string
	Constraints   []string
	CollectedData json.RawMessage // a JSON object on one line; nil for none
}

// WorkflowState is what an answer says about the workflow. The JSON names are
// those of the HTTP API and of stored answers. Of a stored one, what is empty is
// filled in by answerOf.
type WorkflowState struct {
	Step               string          `json:"step"`                    // stepInitial until somebody says one
	CollectedData      json.RawMessage `json:"collectedData,omitempty"` // an object
	LastRecommendation string          `json:"lastRecommendation,omitempty"`
	TurnCount          int             `json:"turnCount"`
	Status             string          `json:"status"` // active, completed or error
}

// fill fills in what a stored state has not: what the request said, or nothing.
func (s *WorkflowState) fill(wc *WorkflowContext) {
	if wc != nil && s.Step == "" {
		s.Step = wc.Step
	}
	if wc != nil && len(s.CollectedData) == 0 {
		s.CollectedData = wc.CollectedData
	}
	if s.Step == "" {
		s.Step = stepInitial
	}
	if !isObject(s.CollectedData) {
		s.CollectedData = json.RawMessage("{}")
	}
}

// stored is the part of the context that is stored with the conversation.
func (wc *WorkflowContext) stored() store.Workflow {
	if wc == nil {
		return store.Workflow{}
	}
	return store.Workflow{CurrentStep: wc.Step, StepData: wc.CollectedData}
}

// prefix puts the context as a block before the user's text. Every value is kept on
// one line. With a line break in a value, a caller's data could end the block or fake
// a line of it, and the agent would take a document's text for the workflow's state.
func (wc *WorkflowContext) prefix(text string) string {
	if wc == nil {
		return text
	}
	constraints, data := "none", "{}"
	if len(wc.Constraints) > 0 {
		constraints = oneLine(strings.Join(wc.Constraints, " | "))
	}
	if len(wc.CollectedData) > 0 {
		data = string(wc.CollectedData)
	}
	return "[WORKFLOW_CONTEXT]\n" +
		"step: " + oneLine(wc.Step) + "\n" +
		"constraints: " + constraints + "\n" +
		"data: " + data + "\n" +
		"[/WORKFLOW_CONTEXT]\n\n" + text
}

// oneLine replaces every character that some reader takes for a line break.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '\n', '\r', '\v', '\f', '\u0085', '\u2028', '\u2029':
			return ' '
		}
		return r
	}, s)
}
