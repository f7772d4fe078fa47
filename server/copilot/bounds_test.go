package copilot_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"parley/server/copilot"
)

// TestManySmallEvents: how many events an answer has does not matter as long as
// their bytes are within bounds.
func TestManySmallEvents(t *testing.T) {
	const n = 25_000
	events := func(format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "event: activity\ndata: "+format+"\n\n", i+1)
		}
		return b.String()
	}
	const whole = "event: activity\ndata: {\"type\":\"message\",\"text\":\"all\",\"channelData\":{\"streamId\":\"s\",\"streamType\":\"final\"}}\n\n"
	pieces := events(`{"type":"typing","text":"x","channelData":{"streamId":"s","streamType":"streaming","chunkType":"delta","streamSequence":%d}}`)
	for name, c := range map[string]struct{ body, text string }{
		"pieces":                  {pieces + whole + end, "all"},
		"pieces without end":      {pieces + end, strings.Repeat("x", n)},
		"typing":                  {events(`{"type":"typing","id":"t-%d"}`) + whole + end, "all"},
		"events that say nothing": {events(`{"type":"event","name":"e%d"}`) + whole + end, "all"},
	} {
		t.Run(name, func(t *testing.T) {
			o := collect(t, to(t, &answer{body: c.body}, nil).Turn(t.Context(), turn("c", "x")))
			if o.err != nil || o.last.Text != c.text {
				t.Errorf("%.40q, %+v", o.last.Text, o.err)
			}
		})
	}
	for name, l := range map[string]copilot.Limits{
		"bytes": {StreamBytes: 1 << 20}, "events": {Events: n},
	} {
		c := to(t, &answer{body: pieces + whole + end}, func(o *copilot.Options) { o.Limits = l })
		if o := collect(t, c.Turn(t.Context(), turn("c", "x"))); o.err == nil || !errors.Is(o.err, copilot.ErrProtocol) {
			t.Errorf("bound of %s: %+v", name, o.err)
		}
	}
}
