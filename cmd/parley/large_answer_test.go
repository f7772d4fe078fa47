package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// An answer of more than MAX_ANSWER_BYTES, in one message, in many or without end, is
// no answer: every signal says upstream_protocol and why, and of the turn nothing is
// stored but that it failed.
func TestLargeAnswer(t *testing.T) {
	const reason = "answer has more than MAX_ANSWER_BYTES"
	for _, say := range []string{"/oversize 100000", "/oversize 5000000", "/endless"} {
		t.Run(say, func(t *testing.T) {
			w := watch(t, "http/protobuf", func(c *config, _ *seams) {
				c.maxAnswerBytes, c.copilotTimeout = 64<<10, time.Minute
			})
			id := w.start()
			answer := w.send(id, say)
			if answer.status != http.StatusBadGateway || answer.Class != "upstream_protocol" {
				t.Errorf("%d %s", answer.status, answer.body)
			}
			var kept struct {
				Messages []struct{ Role, Text string }
				Failures []struct {
					Turn  int
					Class string
				}
			}
			read := func() {
				t.Helper()
				kept.Messages, kept.Failures = nil, nil
				if err := json.Unmarshal(w.ask("GET", "/api/chat/conversations/"+id, "").body, &kept); err != nil {
					t.Fatal(err)
				}
			}
			read()
			if n := len(kept.Messages); n != 2 || kept.Messages[1].Role != "user" || kept.Messages[1].Text != say {
				t.Errorf("%d messages are stored", n)
			}
			if len(kept.Failures) != 1 || kept.Failures[0].Turn != 1 || kept.Failures[0].Class != "upstream_protocol" {
				t.Errorf("failures: %+v", kept.Failures)
			}
			if next := w.send(id, "hello"); next.status != http.StatusOK {
				t.Errorf("the next turn: %d %s", next.status, next.body)
			}
			if read(); len(kept.Messages) != 4 {
				t.Errorf("then %d messages are stored", len(kept.Messages))
			}
			w.end()

			found := 0
			for _, s := range w.collector.named("invoke_agent") {
				if s.trace != answer.TraceID {
					continue
				}
				if found++; s.attrs["error.type"] != "upstream_protocol" || s.attrs["parley.failure.reason"] != reason || !s.failed || s.described {
					t.Errorf("span: %+v", s)
				}
			}
			if found != 1 {
				t.Errorf("%d spans of the agent", found)
			}
			if n := w.collector.sum("parley.agent.duration", attributes{"error.type": "upstream_protocol"}); n != 1 {
				t.Errorf("%v calls of the agent are counted as failed", n)
			}
			lines := 0
			for _, l := range w.lines() {
				if text, _ := l["error"].(string); l["class"] == "upstream_protocol" && strings.Contains(text, reason) && l["trace_id"] == answer.TraceID {
					lines++
				}
			}
			if lines != 1 {
				t.Errorf("%d lines say why: %s", lines, w.log)
			}
		})
	}
}
