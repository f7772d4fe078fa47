package copilot_test

import (
	"testing"

	"parley/server/copilot"
)

// benchMessage is an answer in one piece, as Copilot Studio writes it.
const benchMessage = `event: activity
data: {"type":"message","id":"b0a1c2d3-0000-4000-8000-000000000001","timestamp":"2026-01-01T00:00:00.000Z","channelId":"pva-studio","from":{"id":"agent","name":"Agent","role":"bot"},"conversation":{"id":"c"},"textFormat":"markdown","text":"You said: hello there, and this is what there is to say about it.","attachments":[],"entities":[],"replyToId":"b0a1c2d3-0000-4000-8000-000000000002"}

` + end

// BenchmarkAnswer is the whole client without the network: one turn whose answer comes
// in one piece.
func BenchmarkAnswer(b *testing.B) {
	c := client(b, "http://127.0.0.1:1", func(o *copilot.Options) {
		o.Transport = canned(benchMessage)
		o.Timeouts = copilot.Timeouts{FirstEvent: copilot.NoLimit, Idle: copilot.NoLimit} // as the program's
	})
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range c.Turn(b.Context(), turn("c", "x")) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}
