package turn

import (
	"encoding/json"
	"strings"

	"parley/store"
)

// WorkflowContext is where the caller's own workflow stands.
type WorkflowContext struct {
	Step          string
	Constraints   []string
	CollectedData json.RawMessage // a JSON object on one line; nil for none
}

// WorkflowState is what an answer says about the workflow. The JSON names are
// those of the HTTP API and of stored answers.
type WorkflowState struct {
	Step               string          `json:"step"`
	CollectedData      json.RawMessage `json:"collectedData,omitempty"`
	LastRecommendation json.RawMessage `json:"lastRecommendation,omitempty"`
	TurnCount          int             `json:"turnCount"`
	Status             string          `json:"status"` // active, completed or error
}

// stored is the part of the context that the conversation remembers.
func (wc *WorkflowContext) stored() store.Workflow {
	if wc == nil {
		return store.Workflow{}
	}
	return store.Workflow{CurrentStep: wc.Step, StepData: wc.CollectedData}
}

// prefix puts the context as a block in front of what the user said. Every
// value stays on its own line: with a line break inside a step, a caller's data
// could end the block or fake a line of it, and the agent would take the words
// of a document for the state of the workflow.
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

// oneLine replaces everything that some reader takes for the end of a line.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '\n', '\r', '\v', '\f', '\u0085', '\u2028', '\u2029':
			return ' '
		}
		return r
	}, s)
}
