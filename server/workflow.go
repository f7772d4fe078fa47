package server

import (
	"bytes"
	"encoding/json"
	"strings"

	"parley/server/turn"
)

const maxStep = 1 << 10 // characters

// parseWorkflow reads the workflowContext of a body, nil when it has none.
func parseWorkflow(body object) (*turn.WorkflowContext, error) {
	const name = "workflowContext"
	raw, ok := body.raw(name)
	if !ok {
		return nil, nil
	}
	o, err := parseObject(body.at(name), raw, "step", "constraints", "collectedData")
	if err != nil {
		return nil, err
	}
	var wc turn.WorkflowContext
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

// compact returns valid JSON on one line. Line separators that JSON allows raw in
// strings (U+2028, U+2029) are escaped; the value stays the same.
func compact(raw json.RawMessage) string {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return "{}" // cannot happen: the body was valid
	}
	return strings.NewReplacer("\u0085", `\u0085`, "\u2028", `\u2028`, "\u2029", `\u2029`).Replace(b.String())
}
