package server

import (
	"bytes"
	"encoding/json"
	"strings"

	"parley/store"
)

const maxStep = 1 << 10

// workflowContext is where the caller's own workflow stands.
type workflowContext struct {
	Step          string          `json:"step"`
	Constraints   []string        `json:"constraints,omitempty"`
	CollectedData json.RawMessage `json:"collectedData,omitempty"` // on one line
}

// workflowState is what an answer says about the workflow.
type workflowState struct {
	Step               string          `json:"step"`
	CollectedData      json.RawMessage `json:"collectedData,omitempty"`
	LastRecommendation json.RawMessage `json:"lastRecommendation,omitempty"`
	TurnCount          int             `json:"turnCount"`
	Status             string          `json:"status"` // active, completed or error
}

// parseWorkflow reads the workflowContext of a body, nil when it has none.
func parseWorkflow(body object) (*workflowContext, error) {
	const name = "workflowContext"
	if !body.has(name) {
		return nil, nil
	}
	o, err := parseObject(body.at(name), body.fields[name], "step", "constraints", "collectedData")
	if err != nil {
		return nil, err
	}
	var wc workflowContext
	if wc.Step, err = o.text("step", maxStep); err != nil {
		return nil, err
	}
	if wc.Constraints, err = o.strings("constraints"); err != nil {
		return nil, err
	}
	if o.has("collectedData") {
		data, err := o.object("collectedData")
		if err != nil {
			return nil, err
		}
		wc.CollectedData = json.RawMessage(compact(data))
	}
	return &wc, nil
}

// stored is the part of the context that the conversation remembers.
func (wc *workflowContext) stored() store.Workflow {
	if wc == nil {
		return store.Workflow{}
	}
	return store.Workflow{CurrentStep: wc.Step, StepData: wc.CollectedData}
}

// prefix puts the context as a block in front of what the user said. Every
// value stays on its own line: with a line break inside a step, a caller's data
// could end the block or fake a line of it, and the agent would take the words
// of a document for the state of the workflow.
func (wc *workflowContext) prefix(text string) string {
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

// compact is valid JSON on one line. The rare line ends that JSON allows raw
// inside strings are written as escapes, which leaves the value what it is.
func compact(raw json.RawMessage) string {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return "{}" // cannot happen: the body was valid
	}
	return strings.NewReplacer("\u0085", `\u0085`, "\u2028", `\u2028`, "\u2029", `\u2029`).Replace(b.String())
}
