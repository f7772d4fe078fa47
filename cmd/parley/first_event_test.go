package main

import (
	"fmt"
	"testing"
	"time"
)

// An agent counts as having begun when it has answered something, not when it
// has sent headers, and an answer that does not come colours the span of its request
// each time.
func TestSilentAgentNeverBegan(t *testing.T) {
	const tries = 3
	w := watch(t, "http/protobuf", func(c *config, _ *seams) { c.copilotTimeout = time.Second })
	id := w.start()
	for i := range tries {
		if a := w.send(id, fmt.Sprintf("/silent\n%d", i)); a.Class != "upstream_timeout" {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	w.end()
	silent := 0
	for _, s := range w.collector.named("POST") {
		if s.attrs["error.type"] == "upstream_timeout" && s.failed {
			silent++
		}
	}
	if silent != tries {
		t.Errorf("%d of %d requests have the class: %+v", silent, tries, w.collector.named("POST"))
	}
	for _, s := range w.collector.named("invoke_agent") {
		began := s.attrs["gen_ai.response.time_to_first_chunk"] != ""
		if never := s.attrs["error.type"] == "upstream_timeout"; began == never || (s.attrs["parley.stream.events"] == "0") != never {
			t.Errorf("span: %+v", s)
		}
	}
	first, headers := w.collector.sum("parley.agent.time_to_first_event", nil), w.collector.sum("parley.agent.time_to_headers", nil)
	if first != 1 || headers < 2 {
		t.Errorf("%v first events, want that of the greeting; headers of %v answers", first, headers)
	}
}
