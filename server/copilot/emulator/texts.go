package emulator

import (
	"fmt"
	"strings"
	"unicode/utf16"
)

func streamInfo(id, kind string, seq int) map[string]any {
	m := map[string]any{"type": "streaminfo", "streamType": kind}
	if id != "" {
		m["streamId"] = id
	}
	if seq > 0 {
		m["streamSequence"] = seq
	}
	return m
}

// pieces are the words of an answer, with the spaces in front of them.
func (t *turn) pieces() []string {
	words := strings.Fields(first(t.arg, "A renewal takes eleven days."))
	for i := range words[1:] {
		words[i+1] = " " + words[i+1]
	}
	return words
}

// chunk is a piece of a text that is being written.
func (t *turn) chunk(id, stream, text string, seq int, delta bool) activity {
	a := t.activity("typing")
	a["id"] = id
	if text != "" {
		a["text"] = text
	}
	a["entities"] = []any{streamInfo(stream, "streaming", seq)}
	channel := streamInfo(stream, "streaming", seq)
	delete(channel, "type")
	if delta {
		channel["chunkType"] = "delta"
	}
	a["channelData"] = channel
	return a
}

// stream writes a text in pieces. The first names no stream: the others name
// the stream by its id, as the real service does.
func (t *turn) stream(delta bool) (id, whole string) {
	id = newGUID()
	for i, p := range t.pieces() {
		whole += p
		text, stream, name := p, id, fmt.Sprintf("%s-%d", id, i+1)
		if !delta {
			text = whole
		}
		if i == 0 {
			stream, name = "", id
		}
		t.send(t.chunk(name, stream, text, i+1, delta))
	}
	return id, whole
}

func (t *turn) final(id, text string) {
	a := t.message(text)
	a["id"] = id + "-final"
	a["entities"] = []any{streamInfo(id, "final", 0)}
	t.send(a)
}

func texts() []command {
	return []command{
		{name: "/stream", args: "[text]", about: "a text in pieces, then whole", run: func(t *turn) {
			id, whole := t.stream(true)
			t.final(id, whole)
			t.end()
		}},
		{name: "/stream-cumulative", args: "[text]", about: "the same, each piece with all before it", run: func(t *turn) {
			id, whole := t.stream(false)
			t.final(id, whole)
			t.end()
		}},
		{name: "/stream-shuffled", args: "[text]", about: "the same, pieces out of order and twice", run: func(t *turn) {
			id, whole, all := newGUID(), "", t.pieces()
			for _, p := range all {
				whole += p
			}
			t.send(t.chunk(id, "", all[0], 1, true))
			for i := len(all) - 1; i > 0; i-- {
				for range 2 {
					t.send(t.chunk(fmt.Sprintf("%s-%d", id, i+1), id, all[i], i+1, true))
				}
			}
			t.final(id, whole)
			t.send(t.chunk(id+"-late", id, "late", len(all)+1, true))
			t.end()
		}},
		{name: "/stream-cut", args: "[text]", about: "a text cut into UTF-16 code units, emoji in two, that never comes whole", run: func(t *turn) {
			id := newGUID()
			for i, unit := range utf16.Encode([]rune(first(t.arg, "Done 😀"))) {
				a := t.chunk(fmt.Sprintf("%s-%d", id, i+1), id, "TEXT", i+1, true)
				t.frame("activity", strings.Replace(string(encode(a)), "TEXT", fmt.Sprintf(`\u%04x`, unit), 1))
			}
			t.end()
		}},
		{name: "/stream-no-final", args: "[text]", about: "a text in pieces that never comes whole", run: func(t *turn) {
			t.stream(true)
			t.end()
		}},
	}
}
