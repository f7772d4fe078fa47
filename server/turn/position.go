package turn

import (
	"bytes"
	"encoding/json"

	"parley/store"
)

// The steps that have a meaning here.
const (
	stepInitial  = "initial"
	stepComplete = "complete"
)

// stateError is the status of a turn whose answer is a platform error in words.
const stateError = "error"

// maxCollected bounds what the agent makes of collectedData, in bytes. Within it, the
// state of an answer fits into what is stored for replays (maxExtra).
const maxCollected = 48 << 10

// stepOf is the step that an action of the agent leads to, "" if it is none.
func stepOf(action string) string {
	switch action {
	case "ask":
		return "gather_info"
	case "research", "confirm":
		return action
	case "complete":
		return stepComplete
	case "error":
		return stepInitial
	}
	return ""
}

// position is where the workflow of a conversation is. The agent moves it during a
// turn.
type position struct {
	step string
	data json.RawMessage // collectedData; that of legacy records may be no object

	moved  bool // the agent gave the step
	merged bool // the agent added to data
	left   bool // data of the agent was left out
	// Once the agent has given data: the members of data, and the bytes they take.
	members map[string]json.RawMessage
	size    int
}

// positionOf is where the workflow is when a turn begins.
func positionOf(req *Request, held *store.Turn) position {
	p := position{step: held.Workflow.CurrentStep, data: held.Workflow.StepData}
	if req.Workflow != nil {
		p.step = req.Workflow.Step
		if req.Workflow.CollectedData != nil {
			p.data = req.Workflow.CollectedData
		}
	}
	return p
}

// follow takes the step that the agent's data asks for, and merges the data that came
// with it. Data of any other form changes nothing.
func (p *position) follow(payload *store.Payload) {
	if payload == nil {
		return
	}
	var says map[string]json.RawMessage
	if json.Unmarshal(payload.Data, &says) != nil {
		return
	}
	var action string
	if json.Unmarshal(says["action"], &action) != nil {
		return
	}
	step := stepOf(action)
	if step == "" {
		return
	}
	p.step, p.moved = step, true
	var more map[string]json.RawMessage
	if json.Unmarshal(says["data"], &more) != nil || len(more) == 0 {
		return
	}
	if p.merge(more) {
		p.merged = true
	} else {
		p.left = true
	}
}

// merge puts members into data; of two with the same name the new one wins. It reports
// false, and changes nothing, if data would have more than maxCollected bytes. What is
// no object is kept as it is, too.
func (p *position) merge(more map[string]json.RawMessage) bool {
	if p.members == nil {
		old := map[string]json.RawMessage{}
		if len(p.data) > 0 && json.Unmarshal(p.data, &old) != nil {
			return false
		}
		if old == nil { // data is null
			old = map[string]json.RawMessage{}
		}
		p.members, p.size = old, len("{}")
		for name, value := range old {
			p.size += memberSize(name, value)
		}
	}
	size := p.size
	for name, value := range more {
		size += memberSize(name, value)
		if old, ok := p.members[name]; ok {
			size -= memberSize(name, old)
		}
	}
	if size > maxCollected {
		return false
	}
	for name, value := range more {
		p.members[name] = value
	}
	p.size = size
	return true
}

// memberSize is how many bytes a member takes at most, with its comma.
func memberSize(name string, value json.RawMessage) int {
	quoted, err := json.Marshal(name)
	if err != nil {
		return maxCollected + 1 // cannot happen: a string encodes
	}
	return len(quoted) + len(":,") + len(value)
}

// changes are the fields to store of what the agent moved, and brings data up to date.
func (p *position) changes() store.Workflow {
	var w store.Workflow
	if p.moved {
		w.CurrentStep = p.step
	}
	if !p.merged {
		return w
	}
	b, err := EncodeJSON(p.members) // sorts the names
	if err != nil {
		p.merged = false // cannot happen: the members were decoded
		return w
	}
	p.data = bytes.TrimSpace(b)
	w.StepData = p.data
	return w
}

// isObject reports whether valid JSON is an object.
func isObject(raw json.RawMessage) bool {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	return len(raw) > 0 && raw[0] == '{'
}
