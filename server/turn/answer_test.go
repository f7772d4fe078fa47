package turn

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestStoredExtraIsBounded(t *testing.T) {
	big := json.RawMessage(`{"a":"` + strings.Repeat("x", maxExtra) + `"}`)
	ex := extra{LatencyMs: 7, State: &WorkflowState{Step: "s", CollectedData: big}}
	b := ex.encode()
	var back extra
	if err := json.Unmarshal(b, &back); err != nil || len(b) > maxExtra || back.State.Step != "s" || back.LatencyMs != 7 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if ex.State.CollectedData == nil {
		t.Error("the fresh answer lost its data")
	}
}
