package turn

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"parley/store"
)

// at is a workflow's position after the agent has given data.
func at(step, data string, says ...string) position {
	p := position{step: step, data: json.RawMessage(data)}
	for _, s := range says {
		p.follow(&store.Payload{Data: json.RawMessage(s)})
	}
	return p
}

func TestFollow(t *testing.T) {
	none := store.Workflow{}
	moved := func(step, data string) store.Workflow {
		return store.Workflow{CurrentStep: step, StepData: json.RawMessage(data)}
	}
	for name, c := range map[string]struct {
		data string
		says []string
		want store.Workflow
	}{
		"nothing":                 {`{"a":1}`, nil, none},
		"ask":                     {``, []string{`{"action":"ask"}`}, moved("gather_info", ``)},
		"research":                {``, []string{`{"action":"research"}`}, moved("research", ``)},
		"confirm":                 {``, []string{`{"action":"confirm"}`}, moved("confirm", ``)},
		"complete":                {``, []string{`{"action":"complete"}`}, moved("complete", ``)},
		"error":                   {``, []string{`{"action":"error"}`}, moved("initial", ``)},
		"another action":          {``, []string{`{"action":"dance","data":{"a":1}}`}, none},
		"an action as shouted":    {``, []string{`{"action":"ASK","data":{"a":1}}`}, none},
		"another name":            {``, []string{`{"Action":"ask","data":{"a":1}}`}, none},
		"no action":               {``, []string{`{"data":{"a":1}}`}, none},
		"an action of a card":     {``, []string{`{"action":"Action.Submit","data":{"a":1}}`}, none},
		"an action that is a map": {``, []string{`{"action":{"x":"ask"},"data":{"a":1}}`}, none},
		"action null":             {``, []string{`{"action":null,"data":{"a":1}}`}, none},
		"no object":               {``, []string{`["ask"]`}, none},
		"no JSON":                 {``, []string{`{`}, none},

		"first data":          {``, []string{`{"action":"ask","data":{"b":2,"a":1}}`}, moved("gather_info", `{"a":1,"b":2}`)},
		"first data, null":    {`null`, []string{`{"action":"ask","data":{"a":1}}`}, moved("gather_info", `{"a":1}`)},
		"more data":           {`{"a":1}`, []string{`{"action":"ask","data":{"b":2}}`}, moved("gather_info", `{"a":1,"b":2}`)},
		"the new one wins":    {`{"a":1,"b":2}`, []string{`{"action":"ask","data":{"a":{"c":3}}}`}, moved("gather_info", `{"a":{"c":3},"b":2}`)},
		"shallowly":           {`{"a":{"b":1}}`, []string{`{"action":"ask","data":{"a":{"c":2}}}`}, moved("gather_info", `{"a":{"c":2}}`)},
		"null is a value":     {`{"a":1}`, []string{`{"action":"ask","data":{"a":null}}`}, moved("gather_info", `{"a":null}`)},
		"numbers stay":        {`{"a":1.10}`, []string{`{"action":"ask","data":{"b":12345678901234567890}}`}, moved("gather_info", `{"a":1.10,"b":12345678901234567890}`)},
		"no members":          {`{"a":1}`, []string{`{"action":"ask","data":{}}`}, moved("gather_info", ``)},
		"data is a list":      {`{"a":1}`, []string{`{"action":"ask","data":[1]}`}, moved("gather_info", ``)},
		"data is text":        {`{"a":1}`, []string{`{"action":"ask","data":"x"}`}, moved("gather_info", ``)},
		"legacy, no object":   {`[1]`, []string{`{"action":"ask","data":{"a":1}}`}, moved("gather_info", ``)},
		"one after the other": {``, []string{`{"action":"ask","data":{"a":1}}`, `{"action":"complete","data":{"a":2,"b":3}}`, `{"x":1}`}, moved("complete", `{"a":2,"b":3}`)},
	} {
		p := at("", c.data, c.says...)
		if got := p.changes(); got.CurrentStep != c.want.CurrentStep || string(got.StepData) != string(c.want.StepData) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// What would be too much is left out as a whole, and what is smaller comes in after it.
func TestCollectedDataIsBounded(t *testing.T) {
	half := strings.Repeat("x", maxCollected/2)
	ask := func(name, value string) string { return fmt.Sprintf(`{"action":"ask","data":{%q:%q}}`, name, value) }
	p := at("", "", ask("a", half), ask("b", half), ask("c", "y"), ask("a", "z"), ask("b", half))
	w := p.changes()
	var data map[string]string
	if err := json.Unmarshal(w.StepData, &data); err != nil || !p.left || data["a"] != "z" || data["b"] != half || data["c"] != "y" {
		t.Errorf("%d bytes, left out: %v, %v", len(w.StepData), p.left, err)
	}
	// What the caller sent is its own affair, and kept.
	big := `{"a":"` + strings.Repeat("x", maxCollected) + `"}`
	p = at("s", big, ask("b", "y"))
	if w := p.changes(); w.StepData != nil || !p.left || w.CurrentStep != "gather_info" || string(p.data) != big {
		t.Errorf("%+v", w)
	}
	// It is stored once, with the conversation, and a replay finds it there.
	p = at("", "", ask("a", strings.Repeat("x", maxCollected-20)))
	w = p.changes()
	ex := extra{State: &WorkflowState{Step: w.CurrentStep, CollectedData: w.StepData}}
	kept := ex.encode()
	if len(kept) > 200 {
		t.Errorf("%d bytes are kept with the answer", len(kept))
	}
	a, err := replay(&Request{Kind: KindSend}, &store.Turn{Replay: &store.Outcome{Extra: kept, StepData: w.StepData}})
	if err != nil || w.StepData == nil || string(a.State.CollectedData) != string(w.StepData) || a.State.Step != w.CurrentStep {
		t.Errorf("a replay has %d bytes of %d, %v", len(a.State.CollectedData), len(w.StepData), err)
	}
}

func FuzzFollow(f *testing.F) {
	f.Add(`{"a":1}`, `{"action":"ask","data":{"a":{"b":2}}}`)
	f.Add(`null`, `{"action":"complete","data":{"":"\ud800"}}`)
	f.Add(`[]`, `{"action":"error","data":null}`)
	f.Fuzz(func(t *testing.T, data, says string) {
		if !json.Valid([]byte(data)) {
			t.Skip("only JSON is stored")
		}
		p := at("s", data, says)
		w := p.changes()
		if w.StepData != nil && (!json.Valid(w.StepData) || !isObject(w.StepData) || len(w.StepData) > maxCollected) {
			t.Errorf("%q and %q make %q", data, says, w.StepData)
		}
	})
}
