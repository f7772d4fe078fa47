package copilot

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// part is a piece: delta unless snap.
type part struct {
	id, stream, text string
	seq              int
	snap             bool
}

func (p part) activity() *activity {
	return &activity{
		kind: kindTyping, id: p.id, text: p.text, fromBot: true,
		stream: streamInfo{id: p.stream, kind: streamStreaming, seq: p.seq, delta: !p.snap},
	}
}

func TestPartials(t *testing.T) {
	tests := []struct {
		name  string
		parts []part
		want  []string // texts shown
	}{
		{"first names no stream", []part{{id: "a", text: "Mer", seq: 1}, {id: "b", stream: "a", text: "haba", seq: 2}}, []string{"a:Mer", "a:Merhaba"}},
		{"all name the stream", []part{{stream: "s", text: "a", seq: 1}, {stream: "s", text: "b", seq: 2}}, []string{"s:a", "s:ab"}},
		{"out of order", []part{{stream: "s", text: "a", seq: 1}, {stream: "s", text: "c", seq: 3}, {stream: "s", text: "b", seq: 2}}, []string{"s:a", "s:ac", "s:abc"}},
		{"last first", []part{{stream: "s", text: "c", seq: 3}, {stream: "s", text: "b", seq: 2}, {stream: "s", text: "a", seq: 1}}, []string{"s:c", "s:bc", "s:abc"}},
		{"twice", []part{{stream: "s", text: "a", seq: 1}, {stream: "s", text: "a", seq: 1}, {stream: "s", text: "b", seq: 2}}, []string{"s:a", "s:ab"}},
		{"no sequence", []part{{stream: "s", text: "a"}, {stream: "s", text: "a"}}, []string{"s:a", "s:aa"}},
		{"empty", []part{{id: "s", seq: 1}, {stream: "s", text: "a", seq: 2}, {stream: "s", seq: 3}}, []string{"s:a"}},
		{"snapshots", []part{{id: "s", text: "Mer", seq: 1, snap: true}, {stream: "s", text: "Merhaba", seq: 2, snap: true}}, []string{"s:Mer", "s:Merhaba"}},
		{"overtaken snapshot", []part{{stream: "s", text: "Merhaba", seq: 2, snap: true}, {stream: "s", text: "Mer", seq: 1, snap: true}}, []string{"s:Merhaba"}},
		{"same snapshot", []part{{stream: "s", text: "a", seq: 1, snap: true}, {stream: "s", text: "a", seq: 2, snap: true}}, []string{"s:a"}},
		{"unmarked deltas", []part{{stream: "s", text: "a", seq: 1, snap: true}, {stream: "s", text: "b", seq: 2, snap: true}}, []string{"s:a", "s:ab"}},
		{"unmarked deltas out of order", []part{{stream: "s", text: "b", seq: 2, snap: true}, {stream: "s", text: "a", seq: 1, snap: true}}, []string{"s:b", "s:ab"}},
		{"two streams", []part{{stream: "s", text: "a", seq: 1}, {stream: "t", text: "x", seq: 1}, {stream: "s", text: "b", seq: 2}}, []string{"s:a", "t:x", "s:ab"}},
		{"no name at all", []part{{text: "a", seq: 1}, {text: "b", seq: 2}}, []string{"#1:a", "#1:ab"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p partials
			var got []string
			for _, part := range tt.parts {
				if s, text, more := p.add(part.activity()); more {
					got = append(got, s.id+":"+text)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("shown %q, want %q", got, tt.want)
			}
		})
	}
}

// TestPartialsKeepWhatWentOut: a text that was yielded must not change later.
func TestPartialsKeepWhatWentOut(t *testing.T) {
	var p partials
	var shown, copies []string
	for _, seq := range []int{1, 5, 3, 2, 6, 4, 7} {
		_, text, _ := p.add(part{stream: "s", text: fmt.Sprint(seq), seq: seq}.activity())
		shown = append(shown, text)
		copies = append(copies, strings.Clone(text))
	}
	if !slices.Equal(shown, copies) || shown[6] != "1234567" {
		t.Errorf("shown %q, were %q", shown, copies)
	}
}

func TestFinish(t *testing.T) {
	final := func(id, stream, text, kind string) *activity {
		return &activity{kind: kindMessage, id: id, text: text, fromBot: true, stream: streamInfo{id: stream, kind: kind}}
	}
	two := []part{{id: "s", text: "a", seq: 1}, {id: "t", text: "x", seq: 1}}
	tests := []struct {
		name  string
		parts []part
		m     *activity
		want  string
	}{
		{"named", two, final("m", "t", "xy", streamFinal), "t"},
		{"named, kind missing", two, final("m", "t", "xy", ""), "t"},
		{"by its own id", two, final("s", "", "ab", ""), "s"},
		{"the only one", two[:1], final("m", "", "other words", streamFinal), "s"},
		{"goes on", two[:1], final("m", "", "ab", ""), "s"},
		{"unrelated", two[:1], final("m", "", "other words", ""), ""},
		{"goes on one of them", two, final("m", "", "ab", streamFinal), "s"},
		{"ambiguous", two, final("m", "", "other words", streamFinal), ""},
		{"nothing open", nil, final("m", "", "ab", ""), ""},
		{"unknown stream", nil, final("m", "u", "ab", streamFinal), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p partials
			for _, part := range tt.parts {
				p.add(part.activity())
			}
			m, fresh := p.message(tt.m)
			if got := m.StreamID; got != tt.want || !fresh || m.Text != tt.m.text {
				t.Fatalf("message = %+v, want %q", m, tt.want)
			}
			if tt.want == "" {
				return
			}
			if _, _, more := p.add(part{stream: tt.want, text: "late", seq: 9}.activity()); more {
				t.Error("a piece after the end was shown")
			}
			for _, m := range p.unfinished() {
				if m.StreamID == tt.want || !m.Incomplete || !m.FromBot || m.Text == "" {
					t.Errorf("unfinished = %+v", m)
				}
			}
		})
	}
}

func TestPartialBounds(t *testing.T) {
	var p partials
	for i := range maxStreams + 10 {
		p.add(part{stream: fmt.Sprint(i), text: "x", seq: 1}.activity())
	}
	if got := len(p.unfinished()); got != maxStreams {
		t.Errorf("%d streams, want %d", got, maxStreams)
	}
	grow := func(parts func(i int) part, n int) int {
		var p partials
		shown := 0
		for i := range n {
			if _, _, more := p.add(parts(i).activity()); more {
				shown++
			}
		}
		return shown
	}
	half := strings.Repeat("x", maxPartial/2)
	if got := grow(func(i int) part { return part{stream: "s", text: half, seq: i + 1} }, 5); got != 2 {
		t.Errorf("%d halves of the bound were shown, want 2", got)
	}
	if got := grow(func(i int) part { return part{stream: "s", text: strings.Repeat(half, i+1), seq: i + 1, snap: true} }, 4); got != 2 {
		t.Errorf("%d growing halves of the bound were shown, want 2", got)
	}
	// Pieces in the wrong order each cost a new copy of the text.
	if got := grow(func(i int) part { return part{stream: "s", text: strings.Repeat("x", 4000), seq: 10_000 - i} }, 1000); got < 100 || got > 300 {
		t.Errorf("%d pieces out of order were shown", got)
	}
	if got := grow(func(i int) part { return part{stream: "s", text: "x", seq: i + 1} }, 30_000); got != 30_000 {
		t.Errorf("%d small pieces were shown, want all", got)
	}
}
